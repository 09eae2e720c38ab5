/** The entry point of player.js, which is a classic script and a module alike. */
import { define } from "./element.ts";
import { addressInStack, serverOf } from "./ownaddress.ts";

const script = document.currentScript instanceof HTMLScriptElement ? document.currentScript.src : addressInStack(new Error().stack ?? "");
define(serverOf(script));
