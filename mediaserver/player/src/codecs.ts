/** Which codecs a publisher offers. Pure. */

export interface Codec {
  readonly mimeType: string;
  readonly sdpFmtpLine?: string;
}

/** What goes with any video codec. */
const repair = ["video/rtx", "video/red", "video/ulpfec", "video/flexfec-03"];

/**
 * preferH264 puts H.264 first, packetization-mode 1 before 0 and the simpler profiles
 * first, then the repair formats, and leaves all else out: the server takes nothing
 * else, and a browser that offers VP8 first would be refused. Empty: the browser has
 * no H.264.
 */
export function preferH264<C extends Codec>(codecs: readonly C[]): C[] {
  const h264 = codecs.filter((c) => c.mimeType.toLowerCase() === "video/h264");
  if (h264.length === 0) {
    return [];
  }
  const sorted = h264
    .map((codec, index) => ({ codec, index }))
    .sort((a, b) => packetizationMode(b.codec) - packetizationMode(a.codec) || a.index - b.index)
    .map(({ codec }) => codec);
  return [...sorted, ...codecs.filter((c) => repair.includes(c.mimeType.toLowerCase()))];
}

function packetizationMode(codec: Codec): number {
  return Number(/packetization-mode=(\d)/.exec(codec.sdpFmtpLine ?? "")?.[1] ?? 0);
}
