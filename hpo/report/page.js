// Draws every plot into its element in the colors of the page, and again when the colors or the width change.
const plots = JSON.parse(document.getElementById("plots").textContent);
const elements = document.querySelectorAll(".plot");

function draw() {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue("--" + name).trim();
  const withColors = value =>
    typeof value === "string" && value.startsWith("var:") ? color(value.slice(4))
    : Array.isArray(value) ? value.map(withColors)
    : value && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withColors(item)]))
    : value;
  elements.forEach((element, i) => {
    const { data, layout } = withColors(plots[i]);
    const axis = { gridcolor: color("grid"), linecolor: color("soft"), ticks: "outside", tickcolor: color("soft") };
    for (const key of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) {
      layout[key] = { ...axis, ...layout[key] };
    }
    const common = {
      font: { family: "system-ui, sans-serif", size: 12, color: color("ink") },
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
