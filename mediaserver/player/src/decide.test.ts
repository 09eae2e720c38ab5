import assert from "node:assert/strict";
import { test } from "node:test";
import { type Act, type Facts, type LaneFacts, decide, followed } from "./decide.ts";
import { type Failure, httpFailure, noConnection, serverLost, unreachable } from "./failure.ts";
import { parsePlayParameters } from "./parameters.ts";
import type { PairState } from "./pairstate.ts";
import { type Flow, startFlow } from "./stall.ts";
import type { ConnectionFacts, FeedFacts } from "./trouble.ts";

const now = 100_000;
const page = "http://page.test/live/";
const ownA = "http://a.test:5080/live/";
const ownB = "http://b.test:5080/live/";
const baseURLs = ["http://a.test:5080", "http://b.test:5080"];

function flow(mediaAt: number, began = 1_000): Flow {
  return { ...startFlow(began), mediaAt, transportAt: mediaAt, media: 1, transport: 1, everMedia: mediaAt > began, sampledAt: now };
}

function connection(over: Partial<ConnectionFacts> = {}): ConnectionFacts {
  return {
    number: 1,
    base: page,
    phase: "connected",
    openedAt: 1_000,
    answered: true,
    connectedAt: 1_100,
    disconnectedAt: undefined,
    failure: undefined,
    flow: flow(now - 30),
    firstFrameAt: 1_200,
    lostAt: undefined,
    ...over,
  };
}

function pair(over: Partial<PairState> = {}): PairState {
  return {
    streamId: "primary",
    backupStreamId: "backup",
    active: "Primary",
    activeStreamId: "primary",
    onAir: true,
    draining: false,
    reason: "",
    since: "",
    switches: 0,
    legs: [],
    warnings: [],
    baseURLs: [],
    servedBy: "",
    reduced: false,
    reportShare: 0,
    ...over,
  };
}

function feed(over: Partial<FeedFacts> = {}): FeedFacts {
  return { follows: 1, ok: true, since: 500, heard: true, heardAt: now - 100, gone: false, state: pair(), onAirSince: 500, ...over };
}

/** pending is a lane with a connection on its way, to the page's own place. */
function pending(c: ConnectionFacts = connection({ number: 2 })): LaneFacts[] {
  return [{ target: { base: page, copy: 0 }, connection: { ...c, number: 2 }, nextAt: 0, failures: 0 }];
}

/** waiting is a lane that may open its next connection at nextAt. */
function waiting(nextAt: number): LaneFacts[] {
  return [{ target: { base: page, copy: 0 }, connection: undefined, nextAt, failures: 0 }];
}

function facts(over: Partial<Facts> = {}): Facts {
  return {
    now,
    hidden: false,
    started: true,
    parameters: parsePlayParameters("?name=primary&backupStreamId=backup").parameters,
    page,
    alternates: [],
    shown: undefined,
    lanes: [],
    feed: feed(),
    move: undefined,
    needs: 0,
    lastFailure: undefined,
    ...over,
  };
}

const opening = connection({ phase: "opening", openedAt: now - 100, connectedAt: undefined, flow: startFlow(now - 100), firstFrameAt: undefined });
const connectedNoFrame = connection({ openedAt: now - 500, flow: startFlow(now - 500), firstFrameAt: undefined });
const quiet = connection({ flow: flow(now - 5_000) });
const failed = connection({ phase: "failed", failure: noConnection, flow: flow(now - 9_000) });
const idleFeed = feed({ state: pair({ onAir: false }) });
const lostFeed = feed({ ok: false, since: now - 2_000 });
const unauthorized = httpFailure("play", "primary", 401, null, "", 0);

function failedWith(failure: Failure): ConnectionFacts {
  return connection({ phase: "failed", failure, firstFrameAt: undefined, connectedAt: undefined });
}

interface Case {
  readonly what: string;
  readonly facts: Partial<Facts>;
  readonly act: string;
  readonly phase: string;
  readonly message?: RegExp;
}

const cases: Case[] = [
  { what: "not asked to play: nothing", facts: { started: false }, act: "none", phase: "idle" },
  { what: "the first connection is opened at once", facts: {}, act: "add now to page", phase: "connecting", message: /^Connecting…$/ },
  { what: "it is on its way", facts: { lanes: pending(opening) }, act: "none", phase: "connecting" },
  { what: "connected, on air, no frame yet", facts: { lanes: pending(connectedNoFrame) }, act: "none", phase: "connecting", message: /Starting/ },
  { what: "its first frame is there: show it", facts: { lanes: pending() }, act: "swap", phase: "playing" },
  { what: "it plays", facts: { shown: connection() }, act: "none", phase: "playing" },

  {
    what: "connected before anything was live: wait, without reconnecting",
    facts: { lanes: pending(connection({ flow: startFlow(1_000), firstFrameAt: undefined })), feed: feed({ state: pair({ onAir: false, active: "" }) }) },
    act: "none",
    phase: "waiting",
    message: /^Waiting for the stream “primary” or “backup” to start…$/,
  },
  {
    what: "both streams away for a minute: the session stays",
    facts: { shown: connection({ flow: flow(now - 60_000) }), feed: idleFeed },
    act: "none",
    phase: "waiting",
    message: /^Both streams are away\.$/,
  },
  {
    what: "one stream without a backup away",
    facts: {
      shown: connection({ flow: flow(now - 60_000) }),
      feed: idleFeed,
      parameters: parsePlayParameters("?name=solo").parameters,
    },
    act: "none",
    phase: "waiting",
    message: /^The stream “solo” is away\.$/,
  },
  {
    what: "nothing on air by the events: say so, though silence keeps flowing",
    facts: { shown: connection(), feed: idleFeed },
    act: "none",
    phase: "waiting",
  },
  {
    what: "nothing on air since a moment: it may be back at once",
    facts: { shown: connection(), feed: { ...idleFeed, onAirSince: now - 100 } },
    act: "none",
    phase: "playing",
  },
  {
    what: "on air again a moment ago: give it time",
    facts: { shown: connection({ flow: flow(now - 60_000) }), feed: feed({ onAirSince: now - 300 }) },
    act: "none",
    phase: "playing",
  },

  { what: "media stopped though on air: wait, then reconnect", facts: { shown: quiet }, act: "add backoff to page", phase: "reconnecting", message: /^Connection lost, reconnecting…$/ },
  { what: "the wait is not over", facts: { shown: quiet, lanes: waiting(now + 1) }, act: "none", phase: "reconnecting" },
  { what: "the wait is over: a second connection beside the first", facts: { shown: quiet, lanes: waiting(now) }, act: "open", phase: "reconnecting" },
  { what: "a hidden page sees no stall", facts: { shown: quiet, hidden: true }, act: "none", phase: "playing" },
  { what: "a failed connection is seen on a hidden page too", facts: { shown: failed, hidden: true }, act: "add backoff to page", phase: "reconnecting" },
  { what: "media and events lost: the server is gone", facts: { shown: connection({ flow: flow(now - 2_000) }), feed: lostFeed }, act: "add race to page, page", phase: "reconnecting" },
  { what: "events lost, media flows: play on", facts: { shown: connection(), feed: lostFeed }, act: "none", phase: "playing" },
  {
    what: "ICE disconnected for a moment",
    facts: { shown: connection({ disconnectedAt: now - 1_000 }) },
    act: "none",
    phase: "playing",
  },
  {
    what: "ICE disconnected for long, also while waiting",
    facts: { shown: connection({ disconnectedAt: now - 4_000, flow: flow(now - 60_000) }), feed: idleFeed },
    act: "add backoff to page",
    phase: "reconnecting",
  },
  {
    what: "the stall ended during the wait: stay",
    facts: { shown: connection(), lanes: waiting(now + 400), needs: 1 },
    act: "calm",
    phase: "playing",
  },
  {
    what: "it delivers again beside the new connection, but only just",
    facts: { shown: connection({ flow: flow(now - 100) }), lanes: pending(connection({ ...opening, openedAt: now - 600 })) },
    act: "none",
    phase: "playing",
  },
  {
    what: "it delivers again for a second: the new connection is not needed",
    facts: { shown: connection({ flow: flow(now - 100) }), lanes: pending(connection({ ...opening, openedAt: now - 1_500 })) },
    act: "calm",
    phase: "playing",
  },
  {
    what: "the new connection waits for the picture; the last frame stays",
    facts: { shown: failed, lanes: pending(connectedNoFrame) },
    act: "none",
    phase: "reconnecting",
    message: /Connected again/,
  },
  {
    what: "the new connection is up and nothing is on air",
    facts: { shown: failed, lanes: pending(connection({ flow: startFlow(now - 50_000), firstFrameAt: undefined })), feed: idleFeed },
    act: "none",
    phase: "waiting",
  },
  { what: "the new connection shows its first frame: swap", facts: { shown: failed, lanes: pending() }, act: "swap", phase: "playing" },

  {
    what: "the server cannot be reached at first",
    facts: { lanes: pending(failedWith(unreachable)) },
    act: "abandon",
    phase: "reconnecting",
    message: /cannot be reached/,
  },
  {
    what: "still so: wait",
    facts: { lastFailure: unreachable, lanes: waiting(now + 700), needs: 1 },
    act: "none",
    phase: "reconnecting",
    message: /cannot be reached/,
  },
  { what: "the next attempt does not hide the reason", facts: { lastFailure: unreachable, lanes: pending(opening) }, act: "none", phase: "reconnecting", message: /cannot be reached/ },
  { what: "a wrong token is an error", facts: { lanes: pending(failedWith(unauthorized)) }, act: "abandon", phase: "error", message: /valid token/ },
  { what: "and stays one", facts: { lastFailure: unauthorized, lanes: waiting(now + 29_000) }, act: "none", phase: "error", message: /valid token/ },
  {
    what: "no connection within fifteen seconds",
    facts: { lanes: pending(connection({ ...opening, openedAt: now - 15_001 })) },
    act: "abandon",
    phase: "reconnecting",
    message: /firewall/,
  },
  {
    what: "no answer within fifteen seconds: the server does not answer",
    facts: { lanes: pending(connection({ ...opening, answered: false, openedAt: now - 15_001 })) },
    act: "abandon",
    phase: "reconnecting",
    message: /cannot be reached/,
  },
  { what: "the server is about to end, but not yet", facts: { shown: connection(), move: { from: 1, at: now + 1 } }, act: "none", phase: "playing" },
  { what: "the server is about to end: open another beside it", facts: { shown: connection(), move: { from: 1, at: now } }, act: "add now to page", phase: "playing" },
  {
    what: "the other one takes its time: it is not given up because the old one plays",
    facts: { shown: connection(), lanes: pending(connection({ ...opening, openedAt: now - 5_000 })), move: { from: 1, at: now - 5_000 } },
    act: "none",
    phase: "playing",
  },
  { what: "the other one has its first frame: the next may take a moment", facts: { shown: connection(), lanes: pending(connection({ openedAt: now - 500, firstFrameAt: now - 200 })), move: { from: 1, at: now - 900 } }, act: "none", phase: "playing" },
  { what: "the one shown fails meanwhile: swap at once", facts: { shown: failed, lanes: pending(connection({ openedAt: now - 500, firstFrameAt: now })), move: { from: 1, at: now - 900 } }, act: "swap", phase: "playing" },
  { what: "the other one is there: swap", facts: { shown: connection(), lanes: pending(connection({ openedAt: now - 500 })), move: { from: 1, at: now - 900 } }, act: "swap", phase: "playing" },
  { what: "the other one was refused: wait, the old one plays", facts: { shown: connection(), move: { from: 1, at: now - 900 }, lanes: waiting(now + 1), lastFailure: unreachable }, act: "none", phase: "playing" },
  { what: "and try again", facts: { shown: connection(), move: { from: 1, at: now - 900 }, lanes: waiting(now), lastFailure: unreachable }, act: "open", phase: "playing" },
  { what: "the one shown was opened since: stay", facts: { shown: connection({ openedAt: now - 500 }), move: { from: 0, at: now - 900 } }, act: "none", phase: "playing" },
  {
    what: "reconnecting says why under a last frame",
    facts: { shown: failed, lastFailure: unreachable, lanes: waiting(now + 700) },
    act: "none",
    phase: "reconnecting",
    message: /^Connection lost/,
  },
];

const together = pair({ baseURLs, servedBy: "Primary" });
const hushed = connection({ flow: flow(now - 320) });
const justClosed = feed({ ok: false, since: now - 310, state: together });
const late = feed({ heardAt: now - 1_100, state: together });

/** lanes are those of a race under way: to the page's place, a and b. */
function lanes(...connections: (ConnectionFacts | undefined)[]): LaneFacts[] {
  return [page, ownA, ownB].map((base, i) => {
    const c = connections[i];
    return { target: { base, copy: 0 }, connection: c && { ...c, number: 2 + i, base }, nextAt: now + 100, failures: 0 };
  });
}

const lost = connection({ flow: flow(now - 700), lostAt: now - 400 });

const raceCases: Case[] = [
  { what: "events closed and media quiet: race to every place", facts: { shown: hushed, feed: justClosed }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "heartbeats missing and media quiet: race", facts: { shown: hushed, feed: late }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "the session is gone and media quiet: race", facts: { shown: hushed, feed: { ...justClosed, gone: true } }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "the session is gone, media flows: play on", facts: { shown: connection(), feed: { ...justClosed, gone: true } }, act: "none", phase: "playing" },
  { what: "media quiet, the events say that all is well", facts: { shown: hushed, feed: feed({ state: together }) }, act: "none", phase: "playing" },
  { what: "quiet, but nobody has looked since", facts: { shown: connection({ flow: { ...flow(now - 320), sampledAt: now - 200 } }), feed: justClosed }, act: "none", phase: "playing" },
  { what: "one heartbeat missing is none", facts: { shown: hushed, feed: { ...late, heardAt: now - 1_000 } }, act: "none", phase: "playing" },
  { what: "a hidden page is not told by silence", facts: { shown: hushed, feed: justClosed, hidden: true }, act: "none", phase: "playing" },
  { what: "but by a session that is gone", facts: { shown: hushed, feed: { ...justClosed, gone: true }, hidden: true }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "nothing on air when the events ended: quiet is to be expected", facts: { shown: hushed, feed: { ...justClosed, state: pair({ onAir: false, baseURLs }) } }, act: "none", phase: "playing" },
  { what: "nothing on air, and the session is gone", facts: { shown: hushed, feed: { ...justClosed, gone: true, state: pair({ onAir: false, baseURLs }) } }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "events that were never heard cannot fall silent", facts: { shown: hushed, feed: { ...justClosed, heard: false } }, act: "none", phase: "playing" },
  { what: "events lost long ago, media pauses: another reason", facts: { shown: hushed, feed: { ...justClosed, since: now - 20_000 } }, act: "none", phase: "playing" },
  { what: "and stops", facts: { shown: connection({ flow: flow(now - 1_500) }), feed: { ...justClosed, since: now - 20_000 } }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "the server closed the connection: race", facts: { shown: connection({ phase: "failed", failure: serverLost }), feed: feed({ state: together }) }, act: "add race to page, a, b", phase: "reconnecting" },
  { what: "nothing but the page's own place is known: twice there", facts: { shown: hushed, feed: { ...justClosed, state: pair() } }, act: "add race to page, page", phase: "reconnecting" },
  { what: "another server named by a refusal", facts: { shown: hushed, feed: { ...justClosed, state: pair() }, alternates: ["http://b.test:5080"] }, act: "add race to page, b", phase: "reconnecting" },
  { what: "lost again and again before it was settled: no hurry any more", facts: { shown: hushed, feed: justClosed, needs: 3 }, act: "add backoff to page, a, b", phase: "reconnecting" },

  {
    what: "the server has put the viewer out",
    facts: { shown: lost, lanes: waiting(now + 29_000), feed: { ...justClosed, state: undefined }, lastFailure: unauthorized },
    act: "add spread to page",
    phase: "error",
    message: /valid token/,
  },

  { what: "the race is to begin", facts: { shown: lost, lanes: lanes(), feed: justClosed }, act: "none", phase: "reconnecting" },
  { what: "it begins", facts: { shown: lost, lanes: lanes().map((lane) => ({ ...lane, nextAt: now })), feed: justClosed }, act: "open", phase: "reconnecting" },
  { what: "the servers have other places now: three are enough", facts: { shown: lost, lanes: lanes(), feed: { ...justClosed, state: pair({ baseURLs: ["http://c.test"] }) } }, act: "none", phase: "reconnecting" },
  { what: "the verdict holds though another server's events are fine", facts: { shown: lost, lanes: lanes(opening, opening), feed: feed({ follows: 2, state: together }) }, act: "none", phase: "reconnecting" },
  { what: "one place refuses: the others go on", facts: { shown: lost, lanes: lanes(failedWith(unreachable), opening) }, act: "abandon", phase: "reconnecting" },
  { what: "the first picture wins", facts: { shown: lost, lanes: lanes(opening, connection(), connectedNoFrame) }, act: "swap", phase: "playing" },
  { what: "media came again a moment ago: a false alarm, perhaps", facts: { shown: { ...lost, flow: flow(now - 20) }, lanes: lanes(opening) }, act: "none", phase: "playing" },
  { what: "it was one, before anything was opened", facts: { shown: { ...lost, flow: flow(now - 20) }, lanes: lanes() }, act: "calm", phase: "playing" },
  {
    what: "it was one",
    facts: { shown: { ...lost, flow: flow(now - 20) }, lanes: lanes({ ...opening, openedAt: now - 1_100 }) },
    act: "calm",
    phase: "playing",
  },
  {
    what: "nothing on air anywhere: one connection is enough to wait",
    facts: { shown: lost, lanes: lanes(connectedNoFrame, connectedNoFrame), feed: feed({ follows: 2, state: pair({ onAir: false, baseURLs }) }) },
    act: "keep",
    phase: "waiting",
  },
  {
    what: "it waits, and nothing else is opened",
    facts: { shown: lost, lanes: lanes(connectedNoFrame).slice(0, 1), feed: feed({ follows: 2, state: pair({ onAir: false, baseURLs }) }) },
    act: "none",
    phase: "waiting",
  },

  { what: "a stall that one new connection does not mend: everywhere else too", facts: { shown: quiet, lanes: [{ ...waiting(now + 500)[0]!, failures: 1 }], feed: feed({ state: together }) }, act: "add spread to a, b", phase: "reconnecting" },
  { what: "a first connection refused, nothing known of others", facts: { lanes: [{ ...waiting(now + 500)[0]!, failures: 1 }], lastFailure: unreachable, feed: feed({ follows: undefined, ok: false, state: undefined }) }, act: "none", phase: "reconnecting" },
  {
    what: "a first connection refused by a server that names another",
    facts: { lanes: [{ ...waiting(now + 500)[0]!, failures: 1 }], lastFailure: unreachable, feed: feed({ follows: undefined, ok: false, state: undefined }), alternates: ["http://b.test:5080"] },
    act: "add spread to b",
    phase: "reconnecting",
  },

  { what: "a server about to end is left for the other, and for the page's place", facts: { shown: connection(), feed: feed({ state: together }), move: { from: 1, at: now } }, act: "add now to page, b", phase: "playing" },
  { what: "the session was opened at its own place", facts: { shown: connection({ base: ownB }), feed: feed({ state: pair({ baseURLs }) }), move: { from: 1, at: now } }, act: "add now to page, a", phase: "playing" },
  { what: "its events end first", facts: { shown: connection(), feed: { ...justClosed, since: now - 500 }, move: { from: 1, at: now + 400 } }, act: "none", phase: "playing" },
];

/** named is an act in words, with the places by their short names. */
function named(act: Act): string {
  const names: Record<string, string> = { [page]: "page", [ownA]: "a", [ownB]: "b" };
  return act.kind === "add" ? `add ${act.pace} to ${act.targets.map((t) => names[t.base] ?? t.base).join(", ")}` : act.kind;
}

for (const c of [...cases, ...raceCases]) {
  test(c.what, () => {
    const { act, view } = decide(facts(c.facts));
    assert.deepEqual({ act: named(act), phase: view.phase }, { act: c.act, phase: c.phase });
    if (c.message !== undefined) {
      assert.match(view.message, c.message);
    }
  });
}

test("a message is never empty unless the picture plays or nothing was asked for", () => {
  for (const c of [...cases, ...raceCases]) {
    const { view } = decide(facts(c.facts));
    assert.equal(view.message === "", view.phase === "playing" || view.phase === "idle", c.what);
  }
});

test("the events followed are those of the connection shown while they come, then of the first session opened", () => {
  const gone = feed({ ok: false });
  const failedLane = lanes(failedWith(unreachable), connectedNoFrame, connectedNoFrame);
  const follow = (over: Partial<Facts>) => followed(facts(over));
  assert.equal(follow({}), 1);
  assert.equal(follow({ feed: feed({ follows: undefined }), lanes: lanes({ ...opening, answered: false }) }), undefined, "not answered yet");
  assert.equal(follow({ feed: feed({ follows: undefined }), lanes: lanes(opening) }), 2);
  assert.equal(follow({ shown: lost, lanes: lanes(opening) }), 1, "they come");
  assert.equal(follow({ shown: lost, feed: gone }), 1, "nothing better");
  assert.equal(follow({ shown: lost, feed: gone, lanes: lanes({ ...opening, answered: false }, opening) }), 3);
  assert.equal(follow({ shown: lost, feed: { ...gone, follows: 4 }, lanes: lanes(opening, opening, opening) }), 4, "no hopping about");
  assert.equal(follow({ shown: lost, feed: { ...gone, follows: 2 }, lanes: failedLane }), 3, "its session failed");
  assert.equal(follow({ shown: connection({ number: 3 }), feed: { ...gone, follows: 1 } }), 3, "another is shown");
});
