import { type Failure, type Purpose, SessionError, httpFailure, internalFailure, unreachable } from "./failure.ts";
import { alternate, iceServers } from "./links.ts";
import { type IceCredentials, iceCredentials, sdpFragment } from "./sdp.ts";

/** An HTTP request that has not been answered for this long has failed. */
const requestLimitMs = 10_000;
/** Candidates that appear together are sent together. */
const trickleMs = 30;

export interface SessionTarget {
  readonly purpose: Purpose;
  /** Stream name, for messages. */
  readonly stream: string;
  /** Address that takes the offer. */
  readonly url: string;
  readonly token: string;
  /** How long to wait for the answer to the offer, milliseconds; default 10,000. */
  readonly answerMs?: number | undefined;
}

/**
 * A Session is one WHEP or WHIP session: an offer by POST, candidates by PATCH, an end
 * by DELETE (RFC 9725; WHEP is the same exchange with the media turned round). It does
 * not retry: whoever opened it opens another.
 */
export class Session {
  /** The session's resource on the server; undefined until the offer was answered. */
  resource: string | undefined;

  /**
   * The session's name in the URLs of its events, which proxies log: unlike the resource it
   * is no right to end the session. Undefined: the server is older, and takes the last part
   * of the resource's path.
   */
  eventsSession: string | undefined;

  /** The offer was accepted. */
  answered = false;

  private etag: string | undefined;
  private credentials: IceCredentials | undefined;
  private candidates: string[] = [];
  private gathered = false;
  private trickleTimer: number | undefined;
  private trickling = true;
  private closed = false;
  private nextToken = "";
  private readonly abort = new AbortController();

  constructor(
    readonly pc: RTCPeerConnection,
    private readonly target: SessionTarget,
  ) {}

  /**
   * open negotiates. It calls accepted when there is a session. It throws a SessionError;
   * the caller then closes the session.
   */
  async open(prepareOffer: (sdp: string) => string = (sdp) => sdp, accepted: () => void = () => {}): Promise<void> {
    try {
      await this.negotiate(prepareOffer, accepted);
    } catch (error) {
      throw error instanceof SessionError ? error : new SessionError(internalFailure(error));
    }
  }

  private async negotiate(prepareOffer: (sdp: string) => string, accepted: () => void): Promise<void> {
    const pc = this.pc;
    pc.addEventListener("icecandidate", (event) => this.gather(event.candidate));
    const offer = await pc.createOffer();
    const sdp = prepareOffer(offer.sdp ?? "");
    this.credentials = iceCredentials(sdp);

    const headers = { "Content-Type": "application/sdp", Accept: "application/sdp" };
    const response = await this.request("POST", this.target.url, { headers, body: sdp }, this.target.answerMs);
    if (response.status !== 201) {
      throw new SessionError(await this.refusal(response));
    }
    const location = response.headers.get("Location");
    if (location !== null) {
      this.resource = new URL(location, response.url).href;
    }
    this.eventsSession = response.headers.get("Streampair-Events-Session") ?? undefined;
    this.etag = response.headers.get("ETag") ?? undefined;
    const answer = await response.text();
    if (this.closed) {
      // Closed while the answer was on its way: the server must not keep it.
      this.deleteResource();
      return;
    }
    // Only now, because this begins to gather candidates, for which TURN servers must be
    // known (RFC 9725 section 4.6). The offer has none in any case.
    this.useIceServers(response.headers.get("Link"));
    await pc.setLocalDescription({ type: "offer", sdp });
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
    this.answered = true;
    accepted();
    void this.renew(this.nextToken);
    this.trickleSoon();
  }

  private useIceServers(link: string | null): void {
    const usable: RTCIceServer[] = [];
    for (const server of iceServers(link ?? "")) {
      try {
        this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: [...usable, server] });
        usable.push(server);
      } catch {
        // An address that this browser does not understand: the others serve all the same.
      }
    }
  }

  /** close ends the session here and on the server; it survives the page going away. */
  close(): void {
    if (this.closed) {
      return;
    }
    this.closed = true;
    window.clearTimeout(this.trickleTimer);
    if (this.resource === undefined) {
      // The POST may have reached the server: let it finish, negotiate() then deletes.
      window.setTimeout(() => this.abort.abort(), requestLimitMs);
    } else {
      this.deleteResource();
    }
    this.pc.close();
  }

  /**
   * renew tells the server another token, for a session that lasts as long as its token. A server
   * of the release before does not take the token: its session goes on, or ends and is opened anew.
   */
  async renew(token: string): Promise<void> {
    if (this.resource === undefined) {
      this.nextToken = token; // the offer is on its way
    } else if (token !== "" && !this.closed) {
      await this.request("PATCH", this.resource, { headers: { "Content-Type": "application/jwt" }, body: token }).catch(() => {
        // The session ends with its token then, and the player opens another.
      });
    }
  }

  private deleteResource(): void {
    if (this.resource !== undefined) {
      void fetch(this.resource, { method: "DELETE", keepalive: true, headers: this.authorization() }).catch(() => {
        // The server has gone, and the session with it.
      });
    }
  }

  private gather(candidate: RTCIceCandidate | null): void {
    if (candidate === null || candidate.candidate === "") {
      this.gathered = true;
    } else {
      this.candidates.push(candidate.candidate);
    }
    this.trickleSoon();
  }

  private trickleSoon(): void {
    if (this.resource !== undefined && this.trickling && this.trickleTimer === undefined && !this.closed) {
      this.trickleTimer = window.setTimeout(() => void this.trickle(), trickleMs);
    }
  }

  private async trickle(): Promise<void> {
    const { credentials, candidates, gathered, resource } = this;
    if (resource === undefined || credentials === undefined || (candidates.length === 0 && !gathered)) {
      this.trickleTimer = undefined;
      return;
    }
    this.candidates = [];
    try {
      const response = await this.request("PATCH", resource, {
        headers: {
          "Content-Type": "application/trickle-ice-sdpfrag",
          ...(this.etag === undefined ? {} : { "If-Match": this.etag }),
        },
        body: sdpFragment(credentials, candidates, gathered),
      });
      // A server that does not take candidates learns them from the checks themselves.
      this.trickling = response.ok && !gathered;
    } catch {
      this.trickling = false;
    }
    this.trickleTimer = undefined;
    if (this.candidates.length > 0 || this.gathered !== gathered) {
      this.trickleSoon();
    }
  }

  private async request(method: string, url: string, init: { headers: Record<string, string>; body: string }, limitMs = requestLimitMs): Promise<Response> {
    const limit = window.setTimeout(() => this.abort.abort(), limitMs);
    try {
      return await fetch(url, {
        method,
        body: init.body,
        headers: { ...init.headers, ...this.authorization() },
        signal: this.abort.signal,
        cache: "no-store",
      });
    } catch {
      // fetch tells scripts nothing more than that it failed.
      throw new SessionError(unreachable);
    } finally {
      window.clearTimeout(limit);
    }
  }

  private async refusal(response: Response): Promise<Failure> {
    const { purpose, stream } = this.target;
    const body = await response.text().catch(() => "");
    const textual = (response.headers.get("Content-Type") ?? "").startsWith("text/plain");
    const reason = textual ? (body.split("\n", 1)[0] ?? "").trim().slice(0, 200) : "";
    const failure = httpFailure(purpose, stream, response.status, response.headers.get("Retry-After"), reason, Date.now());
    return { ...failure, alternate: alternate(response.headers.get("Link") ?? "") };
  }

  private authorization(): Record<string, string> {
    return this.target.token === "" ? {} : { Authorization: `Bearer ${this.target.token}` };
  }
}
