import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectionFacts, type Facts, decide } from "./decide.ts";
import { type Failure, httpFailure, noConnection, unreachable } from "./failure.ts";
import { parsePlayParameters } from "./parameters.ts";
import type { PairState } from "./pairstate.ts";
import { type Flow, startFlow } from "./stall.ts";

const now = 100_000;

function flow(mediaAt: number, began = 1_000): Flow {
  return { ...startFlow(began), mediaAt, transportAt: mediaAt, media: 1, transport: 1, everMedia: mediaAt > began };
}

function connection(over: Partial<ConnectionFacts> = {}): ConnectionFacts {
  return {
    phase: "connected",
    openedAt: 1_000,
    connectedAt: 1_100,
    disconnectedAt: undefined,
    failure: undefined,
    flow: flow(now - 30),
    firstFrame: true,
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
    ...over,
  };
}

function facts(over: Partial<Facts> = {}): Facts {
  return {
    now,
    hidden: false,
    started: true,
    parameters: parsePlayParameters("?name=primary&backupStreamId=backup").parameters,
    shown: undefined,
    pending: undefined,
    feed: { ok: true, since: 500, state: pair(), onAirSince: 500 },
    moveAt: undefined,
    retryAt: undefined,
    attempts: 0,
    lastFailure: undefined,
    ...over,
  };
}

const opening = connection({ phase: "opening", openedAt: now - 100, connectedAt: undefined, flow: startFlow(now - 100), firstFrame: false });
const connectedNoFrame = connection({ openedAt: now - 500, flow: startFlow(now - 500), firstFrame: false });
const quiet = connection({ flow: flow(now - 5_000) });
const failed = connection({ phase: "failed", failure: noConnection, flow: flow(now - 9_000) });
const idleFeed = { ok: true, since: 500, state: pair({ onAir: false }), onAirSince: 500 };
const lostFeed = { ok: false, since: now - 2_000, state: pair(), onAirSince: 500 };
const unauthorized = httpFailure("play", "primary", 401, null, "", 0);

function failedWith(failure: Failure): ConnectionFacts {
  return connection({ phase: "failed", failure, firstFrame: false, connectedAt: undefined });
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
  { what: "the first connection is opened at once", facts: {}, act: "open", phase: "connecting", message: /^Connecting…$/ },
  { what: "it is on its way", facts: { pending: opening }, act: "none", phase: "connecting" },
  { what: "connected, on air, no frame yet", facts: { pending: connectedNoFrame }, act: "none", phase: "connecting", message: /Starting/ },
  { what: "its first frame is there: show it", facts: { pending: connection() }, act: "swap", phase: "playing" },
  { what: "it plays", facts: { shown: connection() }, act: "none", phase: "playing" },

  {
    what: "connected before anything was live: wait, without reconnecting",
    facts: { pending: connection({ flow: startFlow(1_000), firstFrame: false }), feed: { ...idleFeed, state: pair({ onAir: false, active: "" }) } },
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
    facts: { shown: connection({ flow: flow(now - 60_000) }), feed: { ok: true, since: 500, state: pair(), onAirSince: now - 300 } },
    act: "none",
    phase: "playing",
  },

  { what: "media stopped though on air: wait, then reconnect", facts: { shown: quiet }, act: "wait", phase: "reconnecting", message: /^Connection lost, reconnecting…$/ },
  { what: "the wait is not over", facts: { shown: quiet, retryAt: now + 1 }, act: "none", phase: "reconnecting" },
  { what: "the wait is over: a second connection beside the first", facts: { shown: quiet, retryAt: now }, act: "open", phase: "reconnecting" },
  { what: "a hidden page sees no stall", facts: { shown: quiet, hidden: true }, act: "none", phase: "playing" },
  { what: "a failed connection is seen on a hidden page too", facts: { shown: failed, hidden: true }, act: "wait", phase: "reconnecting" },
  { what: "media and events lost: the server is gone", facts: { shown: connection({ flow: flow(now - 2_000) }), feed: lostFeed }, act: "wait", phase: "reconnecting" },
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
    act: "wait",
    phase: "reconnecting",
  },
  {
    what: "the stall ended during the wait: stay",
    facts: { shown: connection(), retryAt: now + 400, attempts: 1 },
    act: "calm",
    phase: "playing",
  },
  {
    what: "it delivers again beside the new connection, but only just",
    facts: { shown: connection({ flow: flow(now - 100) }), pending: connection({ ...opening, openedAt: now - 600 }) },
    act: "none",
    phase: "playing",
  },
  {
    what: "it delivers again for a second: the new connection is not needed",
    facts: { shown: connection({ flow: flow(now - 100) }), pending: connection({ ...opening, openedAt: now - 1_500 }) },
    act: "abandon",
    phase: "playing",
  },
  {
    what: "the new connection waits for the picture; the last frame stays",
    facts: { shown: failed, pending: connectedNoFrame },
    act: "none",
    phase: "reconnecting",
    message: /Connected again/,
  },
  {
    what: "the new connection is up and nothing is on air",
    facts: { shown: failed, pending: connection({ flow: startFlow(now - 50_000), firstFrame: false }), feed: idleFeed },
    act: "none",
    phase: "waiting",
  },
  { what: "the new connection shows its first frame: swap", facts: { shown: failed, pending: connection() }, act: "swap", phase: "playing" },

  {
    what: "the server cannot be reached at first",
    facts: { pending: failedWith(unreachable) },
    act: "abandon",
    phase: "reconnecting",
    message: /cannot be reached/,
  },
  {
    what: "still so: wait",
    facts: { lastFailure: unreachable, retryAt: now + 700, attempts: 1 },
    act: "none",
    phase: "reconnecting",
    message: /cannot be reached/,
  },
  { what: "the next attempt does not hide the reason", facts: { lastFailure: unreachable, pending: opening }, act: "none", phase: "reconnecting", message: /cannot be reached/ },
  { what: "a wrong token is an error", facts: { pending: failedWith(unauthorized) }, act: "abandon", phase: "error", message: /valid token/ },
  { what: "and stays one", facts: { lastFailure: unauthorized, retryAt: now + 29_000 }, act: "none", phase: "error", message: /valid token/ },
  {
    what: "no connection within fifteen seconds",
    facts: { pending: connection({ ...opening, openedAt: now - 15_001 }) },
    act: "abandon",
    phase: "reconnecting",
    message: /firewall/,
  },
  { what: "the server is about to end, but not yet", facts: { shown: connection(), moveAt: now + 1 }, act: "none", phase: "playing" },
  { what: "the server is about to end: open another beside it", facts: { shown: connection(), moveAt: now }, act: "open", phase: "playing" },
  {
    what: "the other one takes its time: it is not given up because the old one plays",
    facts: { shown: connection(), pending: connection({ ...opening, openedAt: now - 5_000 }), moveAt: now - 5_000 },
    act: "none",
    phase: "playing",
  },
  { what: "the other one is there: swap", facts: { shown: connection(), pending: connection({ openedAt: now - 500 }), moveAt: now - 900 }, act: "swap", phase: "playing" },
  { what: "the other one was refused: wait, the old one plays", facts: { shown: connection(), moveAt: now - 900, retryAt: now + 1, lastFailure: unreachable }, act: "none", phase: "playing" },
  { what: "and try again", facts: { shown: connection(), moveAt: now - 900, retryAt: now, lastFailure: unreachable }, act: "open", phase: "playing" },
  { what: "the one shown was opened since: stay", facts: { shown: connection({ openedAt: now - 500 }), moveAt: now - 900 }, act: "none", phase: "playing" },
  {
    what: "reconnecting says why under a last frame",
    facts: { shown: failed, lastFailure: unreachable, retryAt: now + 700 },
    act: "none",
    phase: "reconnecting",
    message: /^Connection lost/,
  },
];

for (const c of cases) {
  test(c.what, () => {
    const { act, view } = decide(facts(c.facts));
    assert.deepEqual({ act: act.kind, phase: view.phase }, { act: c.act, phase: c.phase });
    if (c.message !== undefined) {
      assert.match(view.message, c.message);
    }
  });
}

test("a message is never empty unless the picture plays or nothing was asked for", () => {
  for (const c of cases) {
    const { view } = decide(facts(c.facts));
    assert.equal(view.message === "", view.phase === "playing" || view.phase === "idle", c.what);
  }
});
