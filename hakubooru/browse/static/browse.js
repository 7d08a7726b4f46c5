// Completion of the search, keys, picks and blurring. Everything else is done by the server and htmx.
"use strict";

const root = document.documentElement;
const input = document.getElementById("q");

function say(text) {
  document.getElementById("said").textContent = text;
}

// ---- What goes wrong with the server: it is shown where something is awaited, else at the foot of the window.

function tell(text) {
  const trouble = document.getElementById("trouble");
  trouble.textContent = text;
  trouble.hidden = !text;
}

const GONE = "The server does not answer. Is hakubooru browse still running?";

// The sentence of an answer: that of a page of an error, or all of it.
function sentenceOf(text) {
  return new DOMParser().parseFromString(text, "text/html").querySelector(".mistake")?.textContent.trim() ?? text;
}

function fail({ sourceElement }, text) {
  const awaited = sourceElement.querySelector(":scope > p.dim");
  if (awaited) awaited.textContent = text;
  else tell(text);
}

document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  if (ctx.response.status !== 422) fail(ctx, sentenceOf(ctx.text));
});
document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
  if (ctx) fail(ctx, GONE);
});
document.addEventListener("pointerdown", () => tell(""));
document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.response.status < 400) tell("");
});

// The answer to a request; nothing if the server is gone.
function ask(address, options) {
  return fetch(address, options).catch(() => null);
}

// ---- Completion of searches, above and in the steps of a data set: the word at the caret, without the signs before it.

let chosen = -1;
let asked = 0;

function boxOf(target) {
  const box = target.closest(".combobox");
  return box && { input: box.querySelector("input"), list: box.querySelector("ul"), typed: box.querySelector(".typed") };
}

function wordAtCaret(input) {
  const caret = input.selectionStart ?? input.value.length;
  let start = input.value.lastIndexOf(" ", caret - 1) + 1;
  start += input.value.slice(start, caret).match(/^[-~(]*/)[0].length;
  const space = input.value.indexOf(" ", caret);
  return { start, end: space < 0 ? input.value.length : space, text: input.value.slice(start, caret) };
}

function hide({ input, list }) {
  list.hidden = true;
  chosen = -1;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function choose({ input, list }, place) {
  const rows = list.children;
  if (rows[chosen]) rows[chosen].setAttribute("aria-selected", "false");
  chosen = (place + rows.length) % rows.length;
  rows[chosen].setAttribute("aria-selected", "true");
  rows[chosen].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", rows[chosen].id);
}

function take(box, place) {
  const word = wordAtCaret(box.input);
  const term = box.list.children[place].dataset.term;
  const space = term.endsWith(":") ? "" : " ";
  box.input.setRangeText(term + space, word.start, word.end, "end");
  hide(box);
  box.input.focus();
  if (!space) suggest(box);
  checkSoon(box);
}

// Who types fast presses Tab, and Enter after it, while the list is still that of a shorter word.
let completing = null;

async function takeFirst(box) {
  clearTimeout(pause);
  const isOfThisWord = () => box.list.dataset.word === wordAtCaret(box.input).text;
  if (!isOfThisWord()) await suggest(box);
  if (!box.list.hidden && isOfThisWord()) take(box, 0);
}

function complete(box) {
  completing = takeFirst(box).finally(() => { completing = null; });
}

async function submitAfter(completion, form) {
  await completion;
  form.requestSubmit();
}

function row(box, each, place) {
  const item = document.createElement("li");
  item.id = `${box.list.id}-${place}`;
  item.role = "option";
  item.dataset.term = each.term;
  item.setAttribute("aria-selected", "false");
  const name = document.createElement("span");
  name.className = `tag-${each.type}`;
  name.textContent = each.alias ? `${each.alias} → ${each.term}` : each.term;
  item.append(name);
  if (each.posts !== null) {
    const count = document.createElement("span");
    count.className = "count";
    count.textContent = each.posts.toLocaleString("en");
    item.append(count);
  }
  item.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    take(box, place);
  });
  return item;
}

async function suggest(box) {
  const word = wordAtCaret(box.input).text;
  const turn = ++asked;
  if (!word) return hide(box);
  const answer = await ask(`/complete?word=${encodeURIComponent(word)}`);
  if (turn !== asked || !answer?.ok) return;
  const rows = await answer.json();
  if (turn !== asked || document.activeElement !== box.input) return;
  box.list.replaceChildren(...rows.map((each, place) => row(box, each, place)));
  box.list.dataset.word = word;
  chosen = -1;
  box.list.hidden = rows.length === 0;
  box.input.setAttribute("aria-expanded", String(rows.length > 0));
}

// ---- What the search would find, or what is wrong with it, once the typing pauses.

async function check({ input, typed }) {
  const text = input.value;
  if (!text.trim()) return typed.replaceChildren();
  const within = input.form.elements.in ? "&in=set" : "";
  const answer = await ask(`/check?q=${encodeURIComponent(text)}${within}`);
  if (!answer?.ok || text !== input.value) return;
  const { posts, mistake, place } = await answer.json();
  typed.replaceChildren();
  typed.classList.toggle("wrong", Boolean(mistake));
  if (mistake) {
    const lines = document.createElement("pre");
    lines.textContent = [mistake, place].filter(Boolean).join("\n");
    typed.append(lines);
  } else if (posts !== undefined) {
    typed.textContent = `${posts.toLocaleString("en")} post${posts === 1 ? "" : "s"}`;
  }
}

let pause = 0;
let later = 0;

function checkSoon(box) {
  clearTimeout(later);
  later = setTimeout(check, 500, box);
}

document.addEventListener("input", (event) => {
  const box = boxOf(event.target);
  if (!box) return;
  clearTimeout(pause);
  chosen = -1;
  pause = setTimeout(suggest, 40, box);
  checkSoon(box);
});
document.addEventListener("focusout", (event) => {
  const box = boxOf(event.target);
  if (!box) return;
  hide(box);
  box.typed.replaceChildren();
});
document.addEventListener("keydown", (event) => {
  const box = boxOf(event.target);
  const isOpen = box && !box.list.hidden;
  if (!isOpen) return;
  if (event.key === "ArrowDown") choose(box, chosen + 1);
  else if (event.key === "ArrowUp") choose(box, chosen < 0 ? -1 : chosen - 1);
  else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) take(box, chosen);
  else if (event.key === "Tab" && !event.shiftKey && box.list.children.length) complete(box);
  else if (event.key === "Enter" && completing) submitAfter(completing, box.input.form);
  else if (event.key === "Escape") hide(box);
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
});

// ---- Changes of the data set: the keyboard stays with a step that moves, and a mistake is brought into view.

let moved = "";

document.addEventListener("submit", (event) => {
  moved = /\/(up|down)$/.test(event.target.action) ? event.submitter?.ariaLabel ?? "" : "";
});
document.addEventListener("htmx:after:swap", () => {
  const button = moved && [...document.querySelectorAll(".acts button")].find((each) => each.ariaLabel === moved);
  if (button) button.focus();
  moved = "";
  document.querySelector("#draft > .mistake:not(.seen)")?.scrollIntoView({ block: "nearest" });
  document.querySelector("#draft > .mistake")?.classList.add("seen");
});

// ---- Keeping and dropping posts.

// Show a post as kept, as dropped, or as neither.
function mark(holder, kind) {
  holder.classList.toggle("kept", kind === "keep");
  holder.classList.toggle("dropped", kind === "drop");
  for (const button of holder.querySelectorAll(":scope > .picks .pick, :scope > .title .pick")) {
    button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
  }
}

async function pick(holder, kind) {
  const post = holder.dataset.post;
  const body = new URLSearchParams({ post, kind });
  const answer = await ask("/pick", { method: "POST", body });
  if (!answer?.ok) return tell(answer ? sentenceOf(await answer.text()) : GONE);
  const { picked } = await answer.json();
  mark(holder, picked ? kind : "");
  say(`post ${post} ${picked ? { keep: "kept", drop: "dropped" }[kind] : "as the steps say"}`);
}

// A page that the web browser shows again as it was, after its back button, may show earlier picks.
addEventListener("pageshow", async (event) => {
  const [visit] = performance.getEntriesByType("navigation");
  if (!event.persisted && visit?.type !== "back_forward") return;
  const answer = await ask("/set/picks");
  if (!answer?.ok) return;
  const picks = await answer.json();
  for (const holder of document.querySelectorAll("[data-post]")) {
    const post = Number(holder.dataset.post);
    mark(holder, ["keep", "drop"].find((kind) => picks[kind].includes(post)) ?? "");
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest(".pick");
  if (button) pick(button.closest("[data-post]"), button.dataset.kind);
  const veil = event.target.closest(".unveil");
  if (veil) {
    veil.parentElement.classList.add("shown");
    veil.remove();
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// ---- Blurring, light and dark.

const reveal = document.getElementById("reveal");

// A web browser that stores nothing for pages throws an error already when its storage is named.
function remember(storage, name, value) {
  try {
    if (value) window[storage].setItem(name, value);
    else window[storage].removeItem(name);
  } catch {
    // It is chosen anew on the next page.
  }
}

function show(isShown) {
  root.toggleAttribute("data-revealed", isShown);
  remember("sessionStorage", "revealed", isShown && "yes");
  reveal.setAttribute("aria-pressed", String(isShown));
  reveal.textContent = isShown ? "Blur" : "Unblur";
}

show(root.hasAttribute("data-revealed"));
reveal.addEventListener("click", () => show(!root.hasAttribute("data-revealed")));
document.getElementById("theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  remember("localStorage", "theme", root.dataset.theme);
});

// ---- Keys.

const keys = document.getElementById("keys");
document.getElementById("help").addEventListener("click", () => keys.showModal());

function follow(id) {
  document.getElementById(id)?.click();
}

function closeMenu() {
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return false;
  menu.open = false;
  menu.querySelector("summary").focus();
  return true;
}

document.addEventListener("focusout", (event) => {
  const menu = event.target.closest("details.menu");
  if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});

function underFocus() {
  return document.activeElement?.closest("[data-post]") ?? document.querySelector("main[data-post]");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  if (event.target.closest("input, select, textarea")) return;
  const holder = underFocus();
  switch (event.key) {
    case "/":
      input.focus();
      input.select();
      break;
    case "?":
      keys.showModal();
      break;
    case "b":
      show(!root.hasAttribute("data-revealed"));
      break;
    case "ArrowLeft":
    case "a":
      move(event, "before", "previousElementSibling");
      return;
    case "ArrowRight":
    case "d":
      move(event, "after", "nextElementSibling");
      return;
    case "k":
      if (holder) pick(holder, "keep");
      break;
    case "x":
      if (holder) pick(holder, "drop");
      break;
    case "Escape":
      if (!closeMenu()) follow("back");
      break;
    default:
      return;
  }
  event.preventDefault();
});

function move(event, id, sibling) {
  const card = document.activeElement?.closest(".card");
  if (card) card[sibling]?.querySelector(".open")?.focus();
  else follow(id);
  event.preventDefault();
}

// Who comes back from a post goes on at its card.
addEventListener("pageshow", () => {
  const card = document.getElementById(location.hash.slice(1));
  if (document.activeElement === document.body) card?.querySelector(".open")?.focus();
});

// On a narrow screen, what narrows a search is folded away until it is wanted.
if (matchMedia("(max-width: 760px)").matches) {
  for (const fold of document.querySelectorAll(".fold")) fold.open = false;
}
