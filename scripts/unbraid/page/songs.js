"use strict";

// The list of songs: a search that narrows it, and columns that sort it.
(() => {
  const body = document.querySelector("tbody");
  const rows = [...body.rows];
  const find = document.getElementById("find");
  const said = document.getElementById("said");
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase(); // é is found by e
  const texts = new Map(rows.map((row) => [row, plain(row.textContent)]));

  function narrow() {
    const words = plain(find.value).split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    said.textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
  }

  const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

  const amount = (text) => (Number.isNaN(Number(text)) ? -Infinity : Number(text)); // "exact" is less than any residual

  function sort(heads, column) {
    const head = heads[column];
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
    const numbers = head.classList.contains("number");
    body.append(
      ...[...rows].sort((one, two) => {
        const [a, b] = [value(one, column), value(two, column)];
        if (a === "" || b === "") return (a === "") - (b === ""); // what is not known comes last, either way
        return way * (numbers ? amount(a) - amount(b) : order.compare(a, b));
      }),
    );
  }

  const heads = [...document.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    const button = head.firstElementChild;
    button.disabled = false;
    button.addEventListener("click", () => sort(heads, column));
  });
  find.addEventListener("input", narrow);
  find.parentElement.hidden = false;
  narrow(); // a browser may have kept what was searched for
})();
