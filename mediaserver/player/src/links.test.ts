import assert from "node:assert/strict";
import { test } from "node:test";
import { alternate, iceServers } from "./links.ts";

const cases: [string, string, RTCIceServer[]][] = [
  ["nothing", "", []],
  ["a STUN server", '<stun:stun.example.net>; rel="ice-server"', [{ urls: "stun:stun.example.net" }]],
  [
    "a TURN server after it, with its credential",
    '<stun:stun.example.net>; rel="ice-server", <turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="a, \\"b\\"; c\\\\>"; credential-type="password"',
    [
      { urls: "stun:stun.example.net" },
      { urls: "turn:turn.example.net?transport=udp", username: "user", credential: 'a, "b"; c\\>' },
    ],
  ],
  ["without quotes", "<turns:turn.example.net:443>;rel=ice-server;username=u;credential=p", [{ urls: "turns:turn.example.net:443", username: "u", credential: "p" }]],
  ["other links", '</style.css>; rel=preload; as=style, <stun:s>; rel="ice-server"', [{ urls: "stun:s" }]],
  ["no address of an ICE server", '<https://example.net>; rel="ice-server", <turn:>; rel="ice-server"', []],
  ["nonsense", "<<>;;rel, =\"", []],
];

for (const [what, header, want] of cases) {
  test(`ICE servers: ${what}`, () => assert.deepEqual(iceServers(header), want));
}

test("another server", () => {
  assert.equal(alternate('<stun:s>; rel="ice-server", <http://192.0.2.7:5080>; rel="alternate"'), "http://192.0.2.7:5080");
  assert.equal(alternate('<javascript:x>; rel="alternate", </a>; rel=alternate'), undefined);
  assert.equal(alternate(""), undefined);
});
