/** The few pieces of SDP that the pages touch. Pure. */

/**
 * withStereoOpus lets the browser decode Opus in stereo: without stereo=1 in its own
 * description a browser mixes a stereo programme down to one channel (RFC 7587, 7).
 */
export function withStereoOpus(sdp: string): string {
  const opus = /^a=rtpmap:(\d+) opus\/48000\/2\s*$/im.exec(sdp)?.[1];
  if (opus === undefined) {
    return sdp;
  }
  return sdp.replace(new RegExp(`^a=fmtp:${opus} (?!.*\\bstereo=)(.*?)(\\r?)$`, "m"), (_, parameters: string, end: string) => {
    return `a=fmtp:${opus} ${parameters};stereo=1;sprop-stereo=1${end}`;
  });
}

/** What a trickled candidate needs of the offer it belongs to. */
export interface IceCredentials {
  readonly ufrag: string;
  readonly pwd: string;
  /** "audio 9 UDP/TLS/RTP/SAVPF 111", the first media section's description. */
  readonly media: string;
  readonly mid: string;
}

export function iceCredentials(sdp: string): IceCredentials | undefined {
  const first = (pattern: RegExp) => pattern.exec(sdp)?.[1]?.trim();
  const ufrag = first(/^a=ice-ufrag:(.*)$/m);
  const pwd = first(/^a=ice-pwd:(.*)$/m);
  const media = first(/^m=(.*)$/m);
  const mid = first(/^a=mid:(.*)$/m);
  return ufrag && pwd && media && mid ? { ufrag, pwd, media, mid } : undefined;
}

/**
 * sdpFragment is the body of a PATCH that adds candidates (RFC 8840, 9). With BUNDLE
 * only the first media section has a transport, so all candidates belong to it.
 */
export function sdpFragment(credentials: IceCredentials, candidates: readonly string[], last: boolean): string {
  const lines = [
    `a=ice-ufrag:${credentials.ufrag}`,
    `a=ice-pwd:${credentials.pwd}`,
    `m=${credentials.media}`,
    `a=mid:${credentials.mid}`,
    ...candidates.map((candidate) => `a=${candidate}`),
  ];
  if (last) {
    lines.push("a=end-of-candidates");
  }
  return lines.join("\r\n") + "\r\n";
}
