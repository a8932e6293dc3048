// The report's interactive part: drawn by Vega-Lite, whose script stands before this one.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const {words, categories, limits, own} = data.similarity;
  const names = Object.keys(limits);
  const count = words.length;
  // By matrix, by layer: a number a pair.
  const values = Object.fromEntries(names.map(name => {
    const bytes = Uint8Array.from(atob(data.similarity.values[name]), letter => letter.charCodeAt(0));
    const all = new Float32Array(bytes.buffer), pairs = count * (count - 1) / 2;
    return [name, data.layers.map((_, layer) => all.subarray(layer * pairs, (layer + 1) * pairs))];
  }));
  const element = id => document.getElementById(id);
  const slider = element("layer"), first = element("word-a"), second = element("word-b"), colours = element("colours"),
    ordering = element("order");
  const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

  // The place of a pair of words in the order in which they are stored: row by row above the diagonal.
  const pairOf = (a, b) => {
    const [i, j] = a < b ? [a, b] : [b, a];
    return i === j ? -1 : i * count - i * (i + 1) / 2 + j - i - 1;
  };
  // Which word stands at each place of the matrices.
  const orders = {category: words.map((_, place) => place), clustered: data.map.clustered};

  const matrices = {}, profiles = {};  // the views, by name
  let drawn = 0;

  // The map. Sizes are those of the drawings' viewBox.
  const size = 320, extent = 268, bold = 1.35;
  const kinds = [...new Set(categories)];
  const shapes = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z", "M-3.6,-3.6h7.2v7.2h-7.2Z", "M0,-4.6L4.4,3.4H-4.4Z",
                  "M0,-5L5,0L0,5L-5,0Z", "M0,4.6L4.4,-3.4H-4.4Z", "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z"];
  const hues = ["--first", "--second", "--third", "--fourth", "--fifth"];
  const set = (node, attributes) => {
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const svg = (name, attributes) => set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
  const made = (name, ...parts) => {
    const node = document.createElement(name);
    node.append(...parts);
    return node;
  };
  function markOf(kind) {
    const mark = svg("path", {d: shapes[kind % shapes.length]});  // both change: five colours, six shapes
    mark.style.fill = `var(${hues[kind % hues.length]})`;
    return mark;
  }
  kinds.forEach((kind, place) => {
    const picture = svg("svg", {viewBox: "-6 -6 12 12", "aria-hidden": "true"});
    picture.append(markOf(place));
    element("legend").append(made("li", picture, ` ${kind}`));
  });
  const maps = Object.fromEntries(names.map(name => {
    const holder = element(`map-${name}`);
    const groups = words.map((word, place) => {
      const group = svg("g", {class: "word"}), label = svg("text", {});
      label.textContent = word;
      group.append(markOf(kinds.indexOf(categories[place])), label);
      holder.append(group);
      return group;
    });
    const nearest = event => {
      const box = holder.getBoundingClientRect(), scale = size / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const away = pointsOf(name).map(([u, v]) => Math.hypot(u - x, v - y));
      const place = away.indexOf(Math.min(...away));
      if (away[place] > 24 || place === Number(first.value)) return;
      first.value = place;
      showPair();
    };
    for (const event of ["pointermove", "click"]) holder.addEventListener(event, nearest);
    return [name, groups];
  }));
  const widths = maps[names[0]].map(group => group.lastChild.getComputedTextLength() || 30);

  const pointsOf = name =>
    data.map.points[name][Number(slider.value)].map(([x, y]) => [size / 2 + extent * x, size / 2 - extent * y]);

  // Where a name may stand around its point: above, below, beside, and between these.
  const spots = [[0, -6, "middle"], [0, 12, "middle"], [6, 3, "start"], [-6, 3, "end"],
                 [4, -5, "start"], [-4, -5, "end"], [4, 10, "start"], [-4, 10, "end"]];
  function boxAt([x, y], width, [dx, dy, anchor], larger = 1) {
    const half = larger * width / 2 + 1, centre = x + dx + {start: half, middle: 0, end: -half}[anchor];
    return [centre - half, centre + half, y + dy - 8 * larger, y + dy + 2 * larger];
  }
  const apart = (a, b) => a[1] < b[0] || a[0] > b[1] || a[3] < b[2] || a[2] > b[3];
  const inside = box => box[0] >= 0 && box[1] <= size && box[2] >= 0 && box[3] <= size;
  // How many points a name covers at a spot, and more than there are if it also covers a name, or the map's edge.
  function covered(points, place, spot, boxes, larger = 1) {
    const box = boxAt(points[place], widths[place], spot, larger);
    return points.filter(([x, y], other) => other !== place && !apart(box, [x - 3, x + 3, y - 3, y + 3])).length
      + count * (Object.values(boxes).some(other => !apart(box, other)) + !inside(box));
  }
  const put = (group, [x, y, anchor]) => set(group.lastChild, {x, y, "text-anchor": anchor});

  // A name stands where it covers no point and no other name; where there is no such spot, it is shown when chosen.
  const taken = {};
  function showMap() {
    const layer = Number(slider.value);
    for (const name of names) {
      const points = pointsOf(name), middle = size / 2, boxes = taken[name] = {};
      const far = points.map(([x, y]) => Math.hypot(x - middle, y - middle));
      for (const place of [...points.keys()].sort((a, b) => far[b] - far[a])) {
        const group = maps[name][place], [x, y] = points[place];
        group.style.transform = `translate(${x}px, ${y}px)`;
        const full = count >= data.map.many && Object.keys(boxes).length >= data.map.extremes;
        const free = full ? undefined : spots.find(spot => !covered(points, place, spot, boxes));
        group.spot = free || spots[0];
        if (free) boxes[place] = boxAt(points[place], widths[place], free);
      }
      element(`stress-${name}`).textContent = `stress ${data.map.stress[name][layer].toFixed(2)}`;
    }
    element("nearest").tBodies[0].replaceChildren(...words.map((word, a) => {
      const head = made("th", word);
      head.scope = "row";
      return made("tr", head, ...names.map(name => {
        const alike = b => values[name][layer][pairOf(a, b)];
        const best = words.map((_, b) => b).filter(b => b !== a).reduce((b, c) => alike(c) > alike(b) ? c : b);
        return made("td", `${words[best]} (${signed(alike(best), 2)})`);
      }));
    }));
  }

  // The chosen words' names are larger: they take the spot that covers fewest points, and hide names that they cover.
  function markChosen() {
    const pair = [...new Set([Number(first.value), Number(second.value)])];
    for (const name of names) {
      const points = pointsOf(name), chosen = {};
      for (const place of pair) {
        const group = maps[name][place], cost = spot => covered(points, place, spot, chosen, bold);
        const spot = [group.spot, ...spots].map(([x, y, anchor]) => [1.2 * x, 1.2 * y, anchor])
          .reduce((best, next) => cost(next) < cost(best) ? next : best);
        chosen[place] = boxAt(points[place], widths[place], spot, bold);
        if (!group.classList.contains("chosen")) group.parentNode.append(group);  // above the others
        put(group, spot);
      }
      maps[name].forEach((group, place) => {
        const box = taken[name][place];
        group.classList.toggle("chosen", place in chosen);
        group.classList.toggle("hidden", !box || Object.values(chosen).some(other => !apart(box, other)));
        if (!(place in chosen)) put(group, group.spot);
      });
    }
  }

  function look() {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const text = colour("--text"), faint = colour("--line");
    return {
      background: colour("--page"),  // so that it can be read on paper, too
      font: "system-ui, sans-serif",
      view: {stroke: null},
      axis: {labelColor: text, titleColor: text, tickColor: faint, domainColor: faint, gridColor: faint,
             gridOpacity: 0.4, labelFontSize: 12, titleFontSize: 12},
      legend: {labelColor: text, titleColor: text, labelFontSize: 12},
      range: {pairs: colour("--pairs").split(", "), matrices: colour("--matrices").split(", ")},
      rule: {color: text},
    };
  }

  async function draw() {
    const turn = ++drawn;
    const options = {actions: false, renderer: "canvas", config: look(), mode: "vega-lite"};
    const order = orders[ordering.value];
    const cells = order.flatMap((a, row) => order.map((b, column) =>
      ({row, row_end: row + 1, column, column_end: column + 1, a, b, pair: pairOf(a, b),
        words: `${words[a]} – ${words[b]}`})));
    for (const name of names) {
      const holder = element(`matrix-${name}`);
      const size = Math.max(1, Math.floor((holder.clientWidth - 30) / count)) * count;  // whole pixels: no seams
      const spec = {...data.matrices[name], width: size, height: size, datasets: {cells}};
      // Lines and names only where categories stand together.
      spec.params = [...spec.params, {name: "grouped", value: ordering.value === "category"}];
      const {view} = await vegaEmbed(holder, spec, options);
      if (turn !== drawn) return;
      const choose = (event, item) => {
        if (item?.datum?.words === undefined) return;
        [first.value, second.value] = [item.datum.a, item.datum.b];
        showPair();
      };
      for (const event of ["pointermove", "click"]) view.addEventListener(event, choose);
      matrices[name] = holder.view = view;
    }
    for (const [id, spec] of Object.entries(data.profiles)) {
      profiles[id] = (await vegaEmbed(element(id), spec, options)).view;
      if (turn !== drawn) return;
    }
    await showLayer();
    document.documentElement.dataset.drawn = turn;
    document.querySelectorAll(".map").forEach(map => map.classList.add("moving"));  // from now on
  }

  function showLayer() {
    const place = Number(slider.value), layer = data.layers[place];
    slider.setAttribute("aria-valuetext", `layer ${layer}`);
    element("layer-number").textContent = layer;
    element("layer-scores").textContent = data.scores[place];
    showMap();
    for (const [name, view] of Object.entries(matrices)) {
      const shown = values[name][place];
      const [low, high] = colours.value === "common" ? limits[name] : [Math.min(...shown), Math.max(...shown)];
      view.signal("low", low < high ? low : low - 1e-6).signal("high", high).signal("values", shown);
    }
    const shown = Object.values(profiles).map(view => view.signal("shown_layer", layer).runAsync());
    return Promise.all([...shown, showPair()]);
  }

  function showPair() {
    const place = Number(slider.value), a = Number(first.value), b = Number(second.value), pair = pairOf(a, b);
    const kind = a === b ? "the same word" : categories[a] === categories[b]
      ? `both ${categories[a]}` : `${categories[a]}, ${categories[b]}`;
    element("pair-words").textContent = `${words[a]} – ${words[b]} (${kind}), layer ${data.layers[place]}`;
    for (const name of names) {
      element(`pair-${name}`).textContent = signed(pair < 0 ? own : values[name][place][pair], 6);
    }
    markChosen();
    const [row, column] = [a, b].map(word => orders[ordering.value].indexOf(word));
    return Promise.all(Object.values(matrices).map(view =>
      view.signal("chosen_row", row).signal("chosen_column", column).runAsync()));
  }

  slider.addEventListener("input", showLayer);
  colours.addEventListener("change", showLayer);
  for (const word of [first, second]) word.addEventListener("change", showPair);
  for (const source of [ordering, matchMedia("(prefers-color-scheme: dark)")]) source.addEventListener("change", draw);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;  // on a phone, scrolling changes the height
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
  draw();
})();
