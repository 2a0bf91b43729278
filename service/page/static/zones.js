// A camera's zones, as outlines over its picture.

const SVG = "http://www.w3.org/2000/svg";

/** Draw them in the picture's own pixels: the outlines are fitted into the frame as it is. */
export function drawZones(svg, image, zones) {
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!width) return;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(
    ...zones.map(({ kind, points }) => {
      const outline = document.createElementNS(SVG, "polygon");
      outline.dataset.kind = kind;
      outline.setAttribute("points", points.map(([x, y]) => `${x * width},${y * height}`).join(" "));
      return outline;
    }),
  );
}
