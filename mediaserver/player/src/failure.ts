import { parseRetryAfter } from "./backoff.ts";

/** Why a session with the server did not come to be, or ended. */
export interface Failure {
  /** Stable, for the embedding page: see docs/players.md. */
  readonly code:
    | "unauthorized"
    | "not-found"
    | "not-acceptable"
    | "in-use"
    | "unavailable"
    | "refused"
    | "unreachable"
    | "no-connection"
    | "server-lost"
    | "stalled"
    | "unsupported"
    | "internal";
  /** One or two sentences for a person. */
  readonly message: string;
  /** Only a person can mend it: retried slowly. */
  readonly lasting: boolean;
  readonly retryAfterMs: number;
  /** Another server of the same programme, where one was named. */
  readonly alternate?: string | undefined;
}

export type Purpose = "play" | "publish";

/** A SessionError carries a Failure through a promise. */
export class SessionError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

/** httpFailure puts a refusal of WHEP or WHIP into words. `reason` is the body's first line, if it was text. */
export function httpFailure(
  purpose: Purpose,
  stream: string,
  status: number,
  retryAfter: string | null,
  reason: string,
  nowMs: number,
): Failure {
  const retryAfterMs = parseRetryAfter(retryAfter, nowMs);
  const because = reason === "" ? "" : ` The server says: ${reason}`;
  const fail = (code: Failure["code"], message: string, lasting: boolean): Failure => ({
    code,
    message,
    lasting,
    retryAfterMs,
  });
  switch (status) {
    case 401:
    case 403:
      return fail(
        "unauthorized",
        purpose === "play"
          ? "This stream needs a valid token. Ask whoever gave you the link for a new one."
          : "Publishing needs a valid token. Enter the token of this stream.",
        true,
      );
    case 404:
      return fail("not-found", `The server does not know the stream “${stream}”. Check the name.`, purpose === "publish");
    case 406:
    case 415:
    case 422:
      return fail("not-acceptable", `The server and this browser have no common format.${because}`, true);
    case 409:
      return fail("in-use", `Somebody else is publishing “${stream}” now.${because}`, false);
    case 429:
    case 503:
      return fail(
        "unavailable",
        purpose === "play"
          ? "The server cannot take more viewers at the moment."
          : "The server cannot take more publishers at the moment.",
        false,
      );
  }
  if (status >= 500) {
    return fail("unavailable", `The server has a problem (${status}).${because}`, false);
  }
  return fail("refused", `The server refused the connection (${status}).${because}`, true);
}

export const unreachable: Failure = {
  code: "unreachable",
  message: "The server cannot be reached.",
  lasting: false,
  retryAfterMs: 0,
};

export const noConnection: Failure = {
  code: "no-connection",
  message: "The server answers, but media cannot get through. A firewall may block it.",
  lasting: false,
  retryAfterMs: 0,
};

/** The server, or the way to it, is gone; others may be there. */
export const serverLost: Failure = {
  code: "server-lost",
  message: "The server has gone away.",
  lasting: false,
  retryAfterMs: 0,
};

export const stalledFailure: Failure = {
  code: "stalled",
  message: "Media stopped arriving.",
  lasting: false,
  retryAfterMs: 0,
};

export function internalFailure(error: unknown): Failure {
  const text = error instanceof Error ? error.message : String(error);
  return { code: "internal", message: `The browser reported a problem: ${text}`, lasting: false, retryAfterMs: 0 };
}
