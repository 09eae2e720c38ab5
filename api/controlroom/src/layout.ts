/** columnsFor returns how many tiles stand beside each other on a screen that is so wide, in CSS pixels. */
export function columnsFor(tiles: number, width: number): number {
  const most = width < 700 ? 1 : width < 1100 ? 2 : width < 1500 ? 3 : 4;
  return Math.min(Math.max(Math.ceil(Math.sqrt(tiles)), 1), most);
}

/** step returns the tile that an arrow key leads to. It stays at the edges. */
export function step(key: string, from: number, tiles: number, columns: number): number {
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key] ?? 0;
  const to = from + by;
  return to < 0 || to >= tiles ? from : to;
}
