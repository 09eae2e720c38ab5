import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "./sse.ts";

const stream = ':\n\nevent: state\ndata: {"a":1}\n\nid: 7\r\nevent:heartbeat\r\ndata:x\r\ndata: y\r\n\r\ndata\n\nevent: nothing\n\ndata: cut off';
const events = [
  { type: "state", data: '{"a":1}' },
  { type: "heartbeat", data: "x\ny" },
  { type: "message", data: "" },
];

test("events are read whatever pieces they come in", () => {
  for (const size of [1, 2, 7, 1_000]) {
    const parser = new EventParser();
    const pieces = Array.from({ length: Math.ceil(stream.length / size) }, (_, i) => stream.slice(i * size, (i + 1) * size));
    assert.deepEqual(
      pieces.flatMap((piece) => parser.push(piece)),
      events,
      `pieces of ${size}`,
    );
  }
});
