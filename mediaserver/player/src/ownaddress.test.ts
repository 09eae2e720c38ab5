import assert from "node:assert/strict";
import { test } from "node:test";
import { addressInStack, serverOf } from "./ownaddress.ts";

test("the server is where the script came from", () => {
  for (const [script, server] of [
    ["https://host/live/player.js", "https://host/live/"],
    ["https://host:5443/some/prefix/live/player.js?v=1#x", "https://host:5443/some/prefix/live/"],
    ["http://[::1]:5080/live/assets/player-AB12CD34.js", "http://[::1]:5080/live/"],
    ["https://host/assets/main-AB12CD34.js", undefined],
    ["https://host/player.js/other.js", undefined],
    ["", undefined],
  ] as const) {
    assert.equal(serverOf(script), server, script);
  }
});

test("a module finds its address in the stack of an error", () => {
  const address = "https://host:5443/live/player.js?v=1";
  for (const stack of [
    `Error\n    at ${address}:1:2345`,
    `Error: x\n    at main (${address}:12:5)\n    at https://elsewhere/app.js:1:1`,
    `@${address}:1:2345\n`,
    `module code@${address}:1:2345\nasyncFunctionResume@[native code]`,
  ]) {
    assert.equal(addressInStack(stack), address, stack);
  }
  assert.equal(addressInStack("Error\n    at <anonymous>"), "");
});
