// A camera's zones, as outlines over its picture, in the picture's own pixels: so they are fitted
// into the frame as it is.

const SVG = "http://www.w3.org/2000/svg";

/** Draw them; false while there is no picture. */
export function drawZones(svg, image, zones) {
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!width) return false;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(
    ...zones.map(({ kind, points }) => shape("polygon", { points: listed(points, width, height) }, { kind })),
  );
  return true;
}

/** An element of a drawing. */
export function shape(name, attributes, data = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  Object.assign(made.dataset, data);
  return made;
}

/** Points that are shares, as an outline's attribute has them. */
export function listed(points, width, height) {
  return points.map(([x, y]) => `${x * width},${y * height}`).join(" ");
}
