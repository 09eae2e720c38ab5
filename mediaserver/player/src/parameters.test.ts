import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePlayParameters } from "./parameters.ts";

const defaults = { backupStreamId: "", order: ["webrtc", "hls"], token: "", autoplay: true, mute: false, volume: 1, captions: false, badge: false, statistics: false };

test("a name alone plays that stream with every default", () => {
  assert.deepEqual(parsePlayParameters("?name=primary"), { parameters: { ...defaults, name: "primary" }, notices: [] });
});

test("every parameter is read", () => {
  const search =
    "?name=primary&backupStreamId=backup&playOrder=hls&token=s%2Be&autoplay=false&mute=true&captions=1&badge=1&statistics=1";
  assert.deepEqual(parsePlayParameters(search), {
    parameters: {
      name: "primary",
      backupStreamId: "backup",
      order: ["hls"],
      token: "s+e",
      autoplay: false,
      mute: true,
      volume: 1,
      captions: true,
      badge: true,
      statistics: true,
    },
    notices: [],
  });
});

test("id is another word for name, and name wins", () => {
  assert.equal(parsePlayParameters("?id=main").parameters.name, "main");
  assert.equal(parsePlayParameters("?id=main&name=other").parameters.name, "other");
  assert.equal(parsePlayParameters("?id=main&name=").parameters.name, "main");
});

test("the order names the ways to play, each once", () => {
  const order = (value: string) => parsePlayParameters(`?name=a&playOrder=${value}`).parameters.order;
  assert.deepEqual(order(""), ["webrtc", "hls"]);
  assert.deepEqual(order("WebRTC,"), ["webrtc"]);
  assert.deepEqual(order("webrtc,hls"), ["webrtc", "hls"]);
  assert.deepEqual(order("hls, webrtc,hls"), ["hls", "webrtc"]);
  assert.deepEqual(order("dash,hls"), ["hls"]);
  assert.deepEqual(order("dash"), ["webrtc", "hls"]);
});

test("unknown ways to play are skipped with one notice", () => {
  const notices = (order: string) => parsePlayParameters(`?name=a&playOrder=${order}`).notices;
  assert.deepEqual(notices("webrtc,hls"), []);
  assert.deepEqual(notices(""), []);
  assert.deepEqual(notices("hls,dash"), ["This player cannot play “dash” and skips it."]);
  assert.deepEqual(notices("dash,flv"), ["This player cannot play “dash”, “flv” and uses WebRTC and HLS."]);
});

test("a flag without a value is yes, and nonsense is ignored with a notice", () => {
  assert.equal(parsePlayParameters("?name=a&mute").parameters.mute, true);
  assert.equal(parsePlayParameters("?name=a&autoplay=0").parameters.autoplay, false);
  const odd = parsePlayParameters("?name=a&autoplay=perhaps");
  assert.equal(odd.parameters.autoplay, true);
  assert.deepEqual(odd.notices, ["autoplay=perhaps is neither true nor false and is ignored."]);
});

test("an address that cannot be played says why", () => {
  const problems: [string, RegExp][] = [
    ["", /names no stream/],
    ["?name=", /names no stream/],
    ["?name=%20", /names no stream/],
    ["?name=a/b", /“a\/b” cannot be a stream's name/],
    ["?name=..", /cannot be a stream's name/],
    ["?name=a%00b", /cannot be a stream's name/],
    ["?name=%E0%A4%A", /cannot be a stream's name/],
    [`?name=${"x".repeat(129)}`, /^“x{39}…” cannot be/],
    ["?name=a&backupStreamId=<script>", /“<script>” cannot be the backup stream's name/],
    ["?name=a&backupStreamId=a", /both “a”/],
  ];
  for (const [search, words] of problems) {
    assert.match(parsePlayParameters(search).problem ?? "no problem", words, search);
  }
});
