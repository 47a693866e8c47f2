/** @typedef {import("../efld/crop.js").Point} Point */

/**
 * The Delaunay triangulation of points (A. Bowyer and D. F. Watson, 1981): indices by triangle.
 * @param {readonly Point[]} points
 * @returns {number[][]}
 */
export function triangles(points) {
  const count = points.length, far = 1e5;
  const all = [...points, {x: -far, y: -far}, {x: 0, y: far}, {x: far, y: -far}];
  let found = [[count, count + 1, count + 2]];
  for (let index = 0; index < count; index++) {
    const hit = found.filter((triangle) => inCircle(triangle.map((i) => all[i]), all[index]));
    const edges = hit.flatMap(([a, b, c]) => [[a, b], [b, c], [c, a]]);
    // Edges of two triangles are inside of what is made anew.
    const border = edges.filter(([a, b]) => !edges.some(([c, d]) => a === d && b === c));
    found = found.filter((triangle) => !hit.includes(triangle));
    found.push(...border.map(([a, b]) => [a, b, index]));
  }
  return found.filter((triangle) => triangle.every((index) => index < count));
}

/**
 * Whether a point lies in the circle through three others.
 * @param {readonly Point[]} corners
 * @param {Point} point
 */
function inCircle(corners, point) {
  const [[ax, ay], [bx, by], [cx, cy]] = corners.map(({x, y}) => [x - point.x, y - point.y]);
  const inside = (ax * ax + ay * ay) * (bx * cy - cx * by)
    - (bx * bx + by * by) * (ax * cy - cx * ay) + (cx * cx + cy * cy) * (ax * by - bx * ay);
  const turn = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  return turn > 0 ? inside > 0 : inside < 0;
}
