// On a phone a table becomes one block a row; each cell then says its column.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    const titles = [...table.querySelectorAll("thead th")].map((th) => th.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, place) => {
        if (titles[place]) cell.dataset.title = titles[place];
        if (!cell.textContent.trim()) cell.classList.add("is-empty");
      });
    }
  }
});
