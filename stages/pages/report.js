// The report's interactive part: drawn by Vega-Lite, whose script stands before this one.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const {words, categories, values, limits, own} = data.similarity;
  const names = Object.keys(values);
  const count = words.length;
  const element = id => document.getElementById(id);
  const slider = element("layer"), first = element("word-a"), second = element("word-b"), colours = element("colours");
  const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

  // The place of a pair of words in the order in which they are stored: row by row above the diagonal.
  const pairOf = (a, b) => {
    const [i, j] = a < b ? [a, b] : [b, a];
    return i === j ? -1 : i * count - i * (i + 1) / 2 + j - i - 1;
  };
  const cells = [];
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; column++) {
      cells.push({row, column, pair: pairOf(row, column), words: `${words[row]} – ${words[column]}`});
    }
  }

  let matrices = {}, profiles = [], drawn = 0;

  function look() {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const text = colour("--text"), faint = colour("--line");
    return {
      background: null,
      font: "system-ui, sans-serif",
      view: {stroke: null},
      axis: {labelColor: text, titleColor: text, tickColor: faint, domainColor: faint, gridColor: faint,
             gridOpacity: 0.4, labelFontSize: 12, titleFontSize: 12},
      legend: {labelColor: text, titleColor: text, labelFontSize: 12},
      range: {category: [colour("--first"), colour("--second"), colour("--third")]},
      rule: {color: text},
    };
  }

  function colourLimits(name, place) {
    if (colours.value === "common") return limits[name];
    const [low, high] = [Math.min(...values[name][place]), Math.max(...values[name][place])];
    return low < high ? [low, high] : [low - 1e-6, high];
  }

  // Cells of whole pixels: others would have seams between them.
  function cellSize(holder) {
    return Math.max(1, Math.floor((holder.clientWidth - 30) / count));
  }

  async function draw() {
    const turn = ++drawn;
    const options = {actions: false, renderer: "canvas", config: look(), mode: "vega-lite"};
    for (const name of names) {
      const holder = element(`matrix-${name}`), size = cellSize(holder) * count;
      const spec = {...data.matrices[name], width: size, height: size, datasets: {cells}};
      const {view} = await vegaEmbed(holder, spec, options);
      if (turn !== drawn) return;
      const choose = (event, item) => {
        if (item && item.datum && item.datum.words !== undefined) {
          first.value = item.datum.row;
          second.value = item.datum.column;
          showPair();
        }
      };
      view.addEventListener("pointermove", choose);
      view.addEventListener("click", choose);
      matrices[name] = holder.view = view;
    }
    profiles = [];
    for (const [id, spec] of Object.entries(data.profiles)) {
      profiles.push((await vegaEmbed(element(id), spec, options)).view);
      if (turn !== drawn) return;
    }
    await showLayer();
    await showPair();
    document.documentElement.dataset.drawn = turn;
  }

  async function showLayer() {
    const place = Number(slider.value), layer = data.layers[place];
    slider.setAttribute("aria-valuetext", `layer ${layer}`);
    element("layer-number").textContent = layer;
    element("layer-scores").textContent = data.scores[place];
    await Promise.all(Object.entries(matrices).map(([name, view]) => {
      const [low, high] = colourLimits(name, place);
      return view.signal("low", low).signal("high", high).signal("values", values[name][place]).runAsync();
    }));
    await Promise.all(profiles.map(view => view.signal("shown_layer", layer).runAsync()));
    showPair();
  }

  function showPair() {
    const place = Number(slider.value), a = Number(first.value), b = Number(second.value), pair = pairOf(a, b);
    const kind = a === b ? "the same word" : categories[a] === categories[b]
      ? `both ${categories[a]}` : `${categories[a]}, ${categories[b]}`;
    element("pair-words").textContent = `${words[a]} – ${words[b]} (${kind}), layer ${data.layers[place]}`;
    for (const name of names) {
      element(`pair-${name}`).textContent = signed(pair < 0 ? own : values[name][place][pair], 6);
    }
    return Promise.all(Object.values(matrices).map(view =>
      view.signal("chosen_row", a).signal("chosen_column", b).runAsync()));
  }

  slider.addEventListener("input", showLayer);
  colours.addEventListener("change", showLayer);
  first.addEventListener("change", showPair);
  second.addEventListener("change", showPair);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;  // on a phone, scrolling changes the height
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
  draw();
})();
