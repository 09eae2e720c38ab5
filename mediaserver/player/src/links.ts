/** What a server names in its Link header: STUN and TURN servers, another server. Pure. */

interface Link {
  readonly url: string;
  readonly fields: ReadonlyMap<string, string>;
}

/**
 * iceServers reads the links with rel="ice-server" of a Link header (RFC 8288 section 3,
 * RFC 9725 section 4.6). What it does not understand it leaves out.
 */
export function iceServers(header: string): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const { url, fields } of links(header)) {
    if (fields.get("rel") !== "ice-server" || !/^(stun|turn)s?:[^\s]+$/.test(url)) {
      continue;
    }
    const username = fields.get("username");
    const credential = fields.get("credential");
    servers.push(username === undefined || credential === undefined ? { urls: url } : { urls: url, username, credential });
  }
  return servers;
}

/** alternate is the server to ask instead of one that is about to end; undefined if none is named. */
export function alternate(header: string): string | undefined {
  return links(header).find(({ url, fields }) => fields.get("rel") === "alternate" && /^https?:\/\//.test(url))?.url;
}

function links(header: string): Link[] {
  const found: Link[] = [];
  const links = /<([^>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))?)*)/g;
  for (const [, url = "", parameters = ""] of header.matchAll(links)) {
    const fields = new Map<string, string>();
    for (const [, name = "", quoted, plain = ""] of parameters.matchAll(/;\s*([\w*-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?/g)) {
      fields.set(name.toLowerCase(), quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1"));
    }
    found.push({ url, fields });
  }
  return found;
}
