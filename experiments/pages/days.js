// Tables of single episodes: all of them (a row each), and one that is chosen (a row a controller). Both can be sorted.
"use strict";
(() => {
  const MINUS = "\u2212";
  const number = (value, digits) =>
    value === null || value === undefined ? "\u2013"
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", MINUS);
  const small = (value) =>
    value === null || value === undefined ? "\u2013" : value === 0 ? "0"
      : Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 8 }).replace("-", MINUS);
  const make = (tag, attributes = {}, ...inner) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inner);
    return element;
  };
  const named = (controller) => {
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = `var(${controller.colour})`;
    return make("span", {}, dot, controller.label);
  };

  // Sorts the rows of a body by a column; the attribute data-v of a cell is its value, empty ones go last.
  function sortBy(table, column, direction) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, i) => (i === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const [p, q] = [Number(x), Number(y)];
      return sign * (Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q);
    });
    table.tBodies[0].append(...rows);
  }
  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, i) => {
      head.setAttribute("scope", "col");
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        sortBy(table, i, now === "ascending" ? "descending" : "ascending");
      });
    });
  }

  function drill(section, group) {
    const { dates, controllers, costs } = group;
    const chooser = section.querySelector("select");
    const [one, all] = section.querySelectorAll("table");
    let sorted = null;

    function fillAll() {
      all.caption.textContent = `Return of every ${group.word}, EUR; choose one to see more`;
      const head = make("tr", {}, make("th", {}, group.word));
      controllers.forEach((c) => head.append(make("th", {}, named(c))));
      all.tHead.replaceChildren(head);
      dates.forEach((date, i) => {
        const pick = make("button", { type: "button", class: "pick" }, date);
        pick.addEventListener("click", () => choose(i, true));
        const row = make("tr", { "data-i": i }, make("th", { scope: "row", "data-v": i }, pick));
        controllers.forEach((c) => {
          const value = c.return_eur[i];
          row.append(make("td", { "data-v": value ?? "" }, number(value, 2)));
        });
        all.tBodies[0].append(row);
      });
      sortable(all);
    }
    function choose(i, scroll) {
      chooser.value = String(i);
      for (const row of all.tBodies[0].rows) {
        const chosen = Number(row.dataset.i) === i;
        row.classList.toggle("chosen", chosen);
        row.toggleAttribute("aria-current", chosen);
        const box = all.parentElement;
        if (chosen && !scroll) box.scrollTop = row.offsetTop - all.tHead.offsetHeight - box.clientHeight / 3;
      }
      one.caption.textContent = `${dates[i]}: what each controller earned and violated`;
      one.tBodies[0].replaceChildren(...controllers.map((c) => {
        const row = make("tr", {}, make("th", { scope: "row", "data-v": c.label }, named(c)));
        const cell = (value, text, more) => {
          const made = make("td", { "data-v": value ?? "" }, text);
          if (more) made.append(make("small", {}, more));
          row.append(made);
        };
        const seeds = Object.values(c.seeds).map((values) => values[i]).filter((v) => v !== null);
        const range = seeds.length > 1 ? `${number(Math.min(...seeds), 2)} to ${number(Math.max(...seeds), 2)}` : "";
        cell(c.return_eur[i], number(c.return_eur[i], 2), range);
        cell(c.economic_eur[i], number(c.economic_eur[i], 2));
        costs.forEach((name) => cell(c.cost[name]?.[i], small(c.cost[name]?.[i])));
        cell(c.loss_kwh[i], number(c.loss_kwh[i], 1));
        cell(c.v_min_pu[i], number(c.v_min_pu[i], 3));
        cell(c.v_max_pu[i], number(c.v_max_pu[i], 3));
        return row;
      }));
      if (sorted) sortBy(one, sorted.column, sorted.direction);
      if (scroll) one.scrollIntoView({ block: "nearest" });
    }
    const head = make("tr", {});
    ["controller", "return, EUR", "economic, EUR", ...costs, "losses, kWh", "lowest, pu", "highest, pu"]
      .forEach((name) => head.append(make("th", {}, name)));
    one.tHead.replaceChildren(head);
    sortable(one);
    [...head.cells].forEach((cell, column) =>
      cell.firstChild.addEventListener("click", () => (sorted = { column, direction: cell.getAttribute("aria-sort") })));
    dates.forEach((date, i) => chooser.append(make("option", { value: i }, date)));
    chooser.addEventListener("change", () => choose(Number(chooser.value), false));
    section.querySelectorAll(".chooser button").forEach((button) =>
      button.addEventListener("click", () => {
        const next = Number(chooser.value) + Number(button.dataset.by);
        choose((next + dates.length) % dates.length, false);
      }));
    fillAll();
    choose(group.first, false);
  }

  const groups = JSON.parse(document.getElementById("days").textContent);
  document.querySelectorAll("section.days").forEach((section) => drill(section, groups[Number(section.dataset.group)]));
  document.querySelectorAll("table.sortable").forEach(sortable);
})();
