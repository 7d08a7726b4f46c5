// Before anything is drawn: the theme, and whether delicate pictures are shown, as chosen the last time.
"use strict";
try {
  const root = document.documentElement;
  const theme = localStorage.getItem("theme");
  if (theme) root.dataset.theme = theme;
  if (sessionStorage.getItem("revealed")) root.dataset.revealed = "";
} catch {
  // The web browser stores nothing for pages.
}
