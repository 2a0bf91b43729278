// A camera's zones, as outlines over its picture. They are in the picture's own pixels, so that
// they are fitted into the frame as it is.

const SVG = "http://www.w3.org/2000/svg";

/** Draw the zones; return false while there is no picture. */
export function drawZones(svg, image, zones) {
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!width) return false;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(
    ...zones.map(({ kind, points }) => shape("polygon", { points: formatPoints(points, width, height) }, { kind })),
  );
  return true;
}

/** Make an element of a drawing. */
export function shape(name, attributes, data = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  Object.assign(made.dataset, data);
  return made;
}

/** Format points (shares of the picture) for an outline's attribute. */
export function formatPoints(points, width, height) {
  return points.map(([x, y]) => `${x * width},${y * height}`).join(" ");
}
