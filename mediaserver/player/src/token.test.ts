import assert from "node:assert/strict";
import { test } from "node:test";
import { tokenExpiry } from "./token.ts";

const jwt = (claims: unknown) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;

test("a JSON Web Token says when it ends", () => {
  assert.equal(tokenExpiry(jwt({ exp: 1_764_500_000, sub: "ÿþ?>" })), 1_764_500_000_000);
});

test("other tokens do not", () => {
  for (const token of ["", "secret", "a.b.c", "a.e30.c", jwt({ exp: "soon" }), jwt({ exp: 1e300 }), jwt(null), jwt({ exp: 1 }).replace(/\.[^.]*$/, "")]) {
    assert.equal(tokenExpiry(token), undefined, token);
  }
});
