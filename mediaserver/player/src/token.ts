/** What a player reads in its token. Pure. */

/** A page is told so long before its token ends, milliseconds. */
export const expiringMs = 60_000;

/**
 * tokenExpiry is when a JSON Web Token ends (RFC 7519 section 4.1.4), milliseconds since 1970;
 * undefined if it does not say, or is no such token. Nothing is verified: that is the server's part.
 */
export function tokenExpiry(token: string): number | undefined {
  const [, payload, signature] = token.split(".");
  if (payload === undefined || signature === undefined) {
    return undefined;
  }
  try {
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" && Math.abs(exp) < 1e11 ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
