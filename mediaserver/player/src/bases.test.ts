import assert from "node:assert/strict";
import { test } from "node:test";
import { eventsAddress, eventsSessionOf, moveTargets, ownBase, raceTargets, renewToken, whepAddress } from "./bases.ts";
import { parsePairState } from "./pairstate.ts";
import { parsePlayParameters } from "./parameters.ts";

const page = "http://play.test/tv/live/";
const a = "http://a.test:5080/live/";
const b = "http://b.test:5080/live/";

function state(baseURLs: unknown[], servedBy = "") {
  return parsePairState(JSON.stringify({ onAir: true, baseURLs, servedBy }));
}

const both = state(["http://a.test:5080", "http://b.test:5080"], "Primary");

const own: [string, string, string, string | undefined][] = [
  ["the app's name stays, a proxy's prefix does not", page, "http://a.test:5080", a],
  ["a slash at the end", page, "http://a.test:5080/", a],
  ["an address with a path", page, "https://a.test/pods/0", "https://a.test/pods/0/live/"],
  ["an IPv6 address", page, "http://[2001:db8::1]:5080", "http://[2001:db8::1]:5080/live/"],
  ["plain http for a page that came by https", "https://play.test/live/", "http://a.test:5080", undefined],
  ["https for it", "https://play.test/live/", "https://a.test:5443", "https://a.test:5443/live/"],
  ["none", page, "", undefined],
  ["another scheme", page, "javascript:alert(1)", undefined],
];
for (const [what, from, url, want] of own) {
  test(`a server's own address: ${what}`, () => assert.equal(ownBase(from, url), want));
}

const places = (targets: readonly { base: string; copy: number }[]) => targets.map((t) => (t.copy === 0 ? t.base : `${t.base} again`));

test("a race goes to every place known, the page's own first, or twice to that one", () => {
  const race = (s: ReturnType<typeof state>, alternates: string[] = []) => places(raceTargets(page, s, alternates));
  assert.deepEqual(race(both), [page, a, b]);
  assert.deepEqual(race(both, ["http://c.test"]), [page, a, b], "three at most");
  assert.deepEqual(race(undefined), [page, `${page} again`]);
  assert.deepEqual(race(state([])), [page, `${page} again`]);
  assert.deepEqual(race(state(["", "http://b.test:5080"])), [page, b]);
  assert.deepEqual(race(undefined, ["http://b.test:5080"]), [page, b]);
  assert.deepEqual(places(raceTargets(a, both, [])), [a, b], "the page came from one of them");
});

test("a move avoids the server that is about to end", () => {
  const move = (from: string, s: ReturnType<typeof state>, shown: string) => places(moveTargets(from, s, [], shown));
  assert.deepEqual(move(page, both, page), [page, b], "named by role");
  assert.deepEqual(move(page, both, b), [page], "and by where the session was opened");
  assert.deepEqual(move(a, both, a), [b], "the page's own place is that server's");
  assert.deepEqual(move(page, state(["http://a.test:5080"], "Backup"), page), [page, a], "one address: whose is it?");
  assert.deepEqual(move(page, undefined, page), [page], "nothing else is known");
  assert.deepEqual(move(a, state(["http://a.test:5080"]), a), [a], "nothing else is left");
});

test("addresses name the pair, the session and the token", () => {
  const { parameters } = parsePlayParameters("?name=primary&backupStreamId=backup&token=a%26b");
  assert.equal(whepAddress(page, parameters), `${page}whep/primary?backupStreamId=backup`);
  assert.equal(eventsAddress(b, parameters, "p1a2b3c4dXYZ"), `${b}events/primary?backupStreamId=backup&session=p1a2b3c4dXYZ&token=a%26b`);
  assert.equal(eventsAddress(b, parsePlayParameters("?name=solo").parameters, ""), `${b}events/solo`);
});

test("without a name of its own for events a session goes by its id", () => {
  assert.equal(eventsSessionOf(`${b}whep/primary/p1a2b3c4dXYZ`), "p1a2b3c4dXYZ");
  assert.equal(eventsSessionOf(undefined), "");
});

test("another token takes the place of the one in an address", () => {
  assert.equal(renewToken("https://a.test/live/s/1.mp4?token=old&_HLS_msn=7", "n/w"), "https://a.test/live/s/1.mp4?token=n%2Fw&_HLS_msn=7");
  for (const address of ["https://a.test/live/s/1.mp4?b=1", "https://a.test/live/s/1.mp4?token=new"]) {
    assert.equal(renewToken(address, "new"), address);
  }
  assert.equal(renewToken("https://a.test/?token=old", ""), "https://a.test/?token=old");
});
