// Draws every plot into its place, in the page's own colours; again when these change, or the paper does.
const plots = JSON.parse(document.getElementById("plots").textContent);
const places = document.querySelectorAll(".plot");

function draw() {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue("--" + name).trim();
  const filled = value =>
    typeof value === "string" && value.startsWith("var:") ? colour(value.slice(4))
    : Array.isArray(value) ? value.map(filled)
    : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, own]) => [key, filled(own)]))
    : value;
  places.forEach((place, i) => {
    const { data, layout } = filled(plots[i]);
    const ink = colour("ink");
    for (const key of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) {
      layout[key] = { gridcolor: colour("grid"), linecolor: colour("soft"), ticks: "outside", tickcolor: colour("soft"), ...layout[key] };
    }
    const common = { font: { family: "system-ui, sans-serif", size: 12, color: ink }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true };
    Plotly.react(place, data, { ...common, ...layout, width: place.clientWidth }, { displayModeBar: false, responsive: false });
  });
}

draw();
addEventListener("resize", draw);
for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", draw);
