// Draws every plot into its element in the colours of the page, and again when the colours or the width change.
const plots = JSON.parse(document.getElementById("plots").textContent);
const elements = document.querySelectorAll(".plot");

function draw() {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue("--" + name).trim();
  const withColours = value =>
    typeof value === "string" && value.startsWith("var:") ? colour(value.slice(4))
    : Array.isArray(value) ? value.map(withColours)
    : value && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withColours(item)]))
    : value;
  elements.forEach((element, i) => {
    const { data, layout } = withColours(plots[i]);
    const axis = { gridcolor: colour("grid"), linecolor: colour("soft"), ticks: "outside", tickcolor: colour("soft") };
    for (const key of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) {
      layout[key] = { ...axis, ...layout[key] };
    }
    const common = {
      font: { family: "system-ui, sans-serif", size: 12, color: colour("ink") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      autosize: true,
    };
    const options = { displayModeBar: false, responsive: false };
    Plotly.react(element, data, { ...common, ...layout, width: element.clientWidth }, options);
  });
}

draw();
addEventListener("resize", draw);
for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", draw);
