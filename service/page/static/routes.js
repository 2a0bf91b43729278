// The page's address: which camera is open, and which view of it.

const VIEWS = ["learn"];

/** Read the address: `#/cameras/ID`, or with `/learn`; `#ID` is what older links have. */
export function readRoute() {
  const parts = location.hash.slice(1).split("/");
  if (parts[0] !== "" || parts[1] !== "cameras") return { id: decode(parts[0]), view: "watch" };
  return { id: decode(parts[2] ?? ""), view: VIEWS.includes(parts[3]) ? parts[3] : "watch" };
}

/** Make the address of a camera's view. */
export function routeTo(id, view = "watch") {
  return `#/cameras/${encodeURIComponent(id)}${view === "watch" ? "" : `/${view}`}`;
}

function decode(text) {
  try {
    return decodeURIComponent(text) || null;
  } catch {
    return text;
  }
}
