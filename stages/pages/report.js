// The report's interactive part: drawn by Vega-Lite, whose script stands before this one.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const {words, categories, values, limits, own} = data.similarity;
  const names = Object.keys(values);
  const count = words.length;
  const element = id => document.getElementById(id);
  const slider = element("layer"), first = element("word-a"), second = element("word-b"), colours = element("colours"),
    ordering = element("order");
  const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

  // The place of a pair of words in the order in which they are stored: row by row above the diagonal.
  const pairOf = (a, b) => {
    const [i, j] = a < b ? [a, b] : [b, a];
    return i === j ? -1 : i * count - i * (i + 1) / 2 + j - i - 1;
  };
  // Which word stands at each place of the matrices, and where each word stands.
  const orders = {category: words.map((_, place) => place), clustered: data.map.clustered};
  const places = Object.fromEntries(Object.entries(orders).map(([name, order]) => {
    const inverse = [];
    order.forEach((word, place) => { inverse[word] = place; });
    return [name, inverse];
  }));
  function cellsOf(order) {
    return order.flatMap((a, row) => order.map((b, column) =>
      ({row, column, a, b, pair: pairOf(a, b), words: `${words[a]} – ${words[b]}`})));
  }

  let matrices = {}, profiles = [], drawn = 0;

  // The map. Sizes are those of the drawings' viewBox.
  const size = 320, margin = 26, many = 100, extremes = 12;
  const kinds = [...new Set(categories)];
  const shapes = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z", "M-3.6,-3.6h7.2v7.2h-7.2Z", "M0,-4.6L4.4,3.4H-4.4Z",
                  "M0,-5L5,0L0,5L-5,0Z", "M0,4.6L4.4,-3.4H-4.4Z", "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z"];
  const hues = ["--first", "--second", "--third", "--fourth", "--fifth"];
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  function markOf(kind) {
    const fill = kinds.length <= hues.length ? `var(${hues[kind]})` : `hsl(${360 * kind / kinds.length} var(--hue))`;
    const mark = svg("path", {d: shapes[kind % shapes.length]});
    mark.style.fill = fill;
    return mark;
  }
  kinds.forEach((kind, place) => {
    const entry = document.createElement("li"), picture = svg("svg", {viewBox: "-6 -6 12 12", "aria-hidden": "true"});
    picture.append(markOf(place));
    entry.append(picture, ` ${kind}`);
    element("legend").append(entry);
  });
  // A layer's three maps fill their frames together, so that they can be laid over each other.
  const frames = data.map.points[names[0]].map((_, layer) => {
    const all = names.flatMap(name => data.map.points[name][layer]);
    const ends = [0, 1].map(side => [Math.min(...all.map(p => p[side])), Math.max(...all.map(p => p[side]))]);
    const extent = Math.max(...ends.map(([low, high]) => high - low)) || 1;
    return {scale: (size - 2 * margin) / extent, middle: ends.map(([low, high]) => (low + high) / 2)};
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
    holder.addEventListener("pointermove", nearest);
    holder.addEventListener("click", nearest);
    return [name, groups];
  }));
  const widths = maps[names[0]].map(group => group.lastChild.getComputedTextLength() || 30);

  function pointsOf(name) {
    const layer = Number(slider.value), {scale, middle} = frames[layer];
    return data.map.points[name][layer].map(([x, y]) =>
      [size / 2 + scale * (x - middle[0]), size / 2 - scale * (y - middle[1])]);
  }

  // Names go above, below or beside their points; those that would cover another are shown when chosen.
  function showMap() {
    const layer = Number(slider.value);
    for (const name of names) {
      const points = pointsOf(name), taken = [], middle = size / 2;
      const far = points.map(([x, y]) => Math.hypot(x - middle, y - middle));
      const outermost = [...points.keys()].sort((a, b) => far[b] - far[a]);
      let named = 0;
      for (const place of outermost) {
        const [x, y] = points[place], half = widths[place] / 2 + 1, group = maps[name][place];
        group.style.transform = `translate(${x}px, ${y}px)`;
        const spots = [[0, -6, "middle"], [0, 12, "middle"], [6, 3, "start"], [-6, 3, "end"]];
        const free = spots.find(([dx, dy, anchor]) => {
          const centre = x + dx + {start: half, middle: 0, end: -half}[anchor];
          const box = [centre - half, centre + half, y + dy - 8, y + dy + 2];
          if (box[0] < 0 || box[1] > size) return false;
          const clear = taken.every(t => box[1] < t[0] || box[0] > t[1] || box[3] < t[2] || box[2] > t[3])
            && points.every(([u, v], i) => i === place || u < box[0] || u > box[1] || v < box[2] || v > box[3]);
          if (clear) taken.push(box);
          return clear;
        });
        const shown = free && (count < many || named < extremes);
        named += Boolean(shown);
        group.classList.toggle("crowded", !shown);
        const [dx, dy, anchor] = free || spots[0];
        for (const [key, value] of Object.entries({x: dx, y: dy, "text-anchor": anchor})) {
          group.lastChild.setAttribute(key, value);
        }
      }
      element(`stress-${name}`).textContent = `stress ${data.map.stress[name][layer].toFixed(2)}`;
    }
    element("nearest").tBodies[0].replaceChildren(...words.map((word, a) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = word;
      row.append(head, ...names.map(name => {
        const cell = document.createElement("td"), alike = b => values[name][layer][pairOf(a, b)];
        const best = words.map((_, b) => b).filter(b => b !== a).reduce((b, c) => alike(c) > alike(b) ? c : b);
        cell.textContent = `${words[best]} (${signed(alike(best), 2)})`;
        return cell;
      }));
      return row;
    }));
  }

  function markChosen() {
    for (const name of names) {
      maps[name].forEach((group, place) => {
        const chosen = place === Number(first.value) || place === Number(second.value);
        if (chosen && !group.classList.contains("chosen")) group.parentNode.append(group);  // above the others
        group.classList.toggle("chosen", chosen);
      });
    }
  }

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

  function colourLimits(name, layer) {
    if (colours.value === "common") return limits[name];
    const [low, high] = [Math.min(...values[name][layer]), Math.max(...values[name][layer])];
    return low < high ? [low, high] : [low - 1e-6, high];
  }

  // Cells of whole pixels: others would have seams between them.
  function cellSize(holder) {
    return Math.max(1, Math.floor((holder.clientWidth - 30) / count));
  }

  async function draw() {
    const turn = ++drawn;
    const options = {actions: false, renderer: "canvas", config: look(), mode: "vega-lite"};
    const cells = cellsOf(orders[ordering.value]), grouped = ordering.value === "category";
    for (const name of names) {
      const holder = element(`matrix-${name}`), size = cellSize(holder) * count;
      const spec = {...data.matrices[name], width: size, height: size, datasets: {cells}};
      if (!grouped) {  // no lines and names: categories do not stand together
        spec.layer = spec.layer.filter(layer => layer.mark.type !== "rule");
        spec.params = spec.params.map(param => param.name === "names" ? {name: "names", value: {}} : param);
      }
      const {view} = await vegaEmbed(holder, spec, options);
      if (turn !== drawn) return;
      const choose = (event, item) => {
        if (item && item.datum && item.datum.words !== undefined) {
          first.value = item.datum.a;
          second.value = item.datum.b;
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
    document.querySelectorAll(".map").forEach(map => map.classList.add("moving"));  // from now on
  }

  async function showLayer() {
    const layer = Number(slider.value);
    slider.setAttribute("aria-valuetext", `layer ${layer}`);
    element("layer-number").textContent = layer;
    element("layer-scores").textContent = data.scores[layer];
    showMap();
    await Promise.all(Object.entries(matrices).map(([name, view]) => {
      const [low, high] = colourLimits(name, layer);
      return view.signal("low", low).signal("high", high).signal("values", values[name][layer]).runAsync();
    }));
    await Promise.all(profiles.map(view => view.signal("shown_layer", layer).runAsync()));
    showPair();
  }

  function showPair() {
    const layer = Number(slider.value), a = Number(first.value), b = Number(second.value), pair = pairOf(a, b);
    const kind = a === b ? "the same word" : categories[a] === categories[b]
      ? `both ${categories[a]}` : `${categories[a]}, ${categories[b]}`;
    element("pair-words").textContent = `${words[a]} – ${words[b]} (${kind}), layer ${layer}`;
    for (const name of names) {
      element(`pair-${name}`).textContent = signed(pair < 0 ? own : values[name][layer][pair], 6);
    }
    markChosen();
    const place = places[ordering.value];
    return Promise.all(Object.values(matrices).map(view =>
      view.signal("chosen_row", place[a]).signal("chosen_column", place[b]).runAsync()));
  }

  slider.addEventListener("input", showLayer);
  colours.addEventListener("change", showLayer);
  ordering.addEventListener("change", draw);
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
