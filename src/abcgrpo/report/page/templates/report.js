// Draws the figures and colours tokens; buttons and legends take arms out of all of them; zooming by buttons, wheel and dragging.
const views = {};
const extents = Object.fromEntries(figures.map(({name, extent}) => [name, extent]));
const taken = new Set();
const inherited = {labelColor: "currentColor", titleColor: "currentColor", domainColor: "currentColor",
  tickColor: "currentColor", gridColor: "currentColor", gridOpacity: 0.12, domainOpacity: 0.4, tickOpacity: 0.4,
  labelFontSize: 11.5, titleFontSize: 12, titleFontWeight: 500};
const config = {background: "transparent", font: "system-ui, sans-serif", axis: inherited,
  legend: {labelColor: "currentColor", labelFontSize: 12}, view: {stroke: null}};

const draw = async ({name, specification}) => {
  const element = document.getElementById("figure-" + name);
  const {view} = await vegaEmbed(element, specification, {actions: false, renderer: "svg", config});
  views[name] = view;
  view.addEventListener("click", (event, item) => {
    const arm = item?.mark?.role?.startsWith("legend") && (item.datum?.value ?? item.datum?.label);
    if (arm && arms().includes(arm)) toggle(arm);
  });
};

const buttons = () => [...document.querySelectorAll("button[data-arm]")];
const arms = () => buttons().map(button => button.dataset.arm);

const signal = (name, value) => Promise.all(figures
  .filter(({specification}) => specification.params?.some(each => each.name === name))
  .map(figure => views[figure.name].signal(name, value).runAsync()));

// Which arm's runs the shadow rules are shown of.
const measure = arm => {
  for (const part of document.querySelectorAll("[data-measured-in]")) part.hidden = part.dataset.measuredIn !== arm;
  return signal(parameters.measured, arm);
};

const toggle = async arm => {
  taken.has(arm) ? taken.delete(arm) : taken.add(arm);
  for (const button of buttons()) button.setAttribute("aria-pressed", String(!taken.has(button.dataset.arm)));
  await signal(parameters.hidden, [...taken]);
  for (const label of document.querySelectorAll(".role-legend-label text"))
    label.style.opacity = taken.has(label.textContent) ? 0.4 : 1;
};

const zoom = (name, how) => {
  const view = views[name];
  const [first, last] = extents[name];
  const field = name.startsWith("rule_") ? "r" : "step";
  const signal = parameters.zoom + "_" + field;
  const [low, high] = view.signal(signal) ?? [first, last];
  const middle = (low + high) / 2;
  const half = (high - low) / 2 * ({in: 0.5, out: 2}[how] ?? 1);
  const shift = {left: -half / 2, right: half / 2}[how] ?? 0;
  const whole = how === "reset" || half >= (last - first) / 2 && !shift;
  view.signal(signal, whole ? null : [middle - half + shift, middle + half + shift]).runAsync();
};

const colourBy = how => {
  for (const button of document.querySelectorAll("[data-colour]"))
    button.setAttribute("aria-pressed", String(button.dataset.colour === how));
  for (const text of document.querySelectorAll("p.tokens")) text.className = "tokens by-" + how;
};

// Says of a token what its title says, for fingers and keyboards, which see no titles.
const say = token => {
  document.querySelector(".picked")?.classList.remove("picked");
  token.classList.add("picked");
  document.querySelector(".token-says").textContent = `“${token.textContent}”: ${token.title}`;
};

document.addEventListener("click", ({target}) => {
  const token = target.closest("p.tokens > span");
  if (token) say(token);
  const button = target.closest("button");
  if (button?.dataset.arm !== undefined) toggle(button.dataset.arm);
  if (button?.dataset.colour) colourBy(button.dataset.colour);
  if (button?.dataset.zoom) zoom(button.dataset.figure, button.dataset.zoom);
});

document.addEventListener("keydown", event => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!step || !event.target.matches("p.tokens")) return;
  event.preventDefault();
  const tokens = [...event.target.children];
  say(tokens[Math.min(tokens.length - 1, Math.max(0, tokens.findIndex(each => each.matches(".picked")) + step))]);
});

document.querySelector("[data-measured]")?.addEventListener("change", ({target}) => measure(target.value));

Promise.all(figures.map(draw)).then(() => document.body.setAttribute("data-drawn", "true"));
