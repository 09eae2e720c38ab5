/** Where the script of the custom element came from. Pure. */

/**
 * serverOf is the address of the app at the server that a script came from, ending in "/"; undefined if
 * the address is not that of a script of ours. It is "…/live/player.js" or "…/live/assets/player-HASH.js".
 */
export function serverOf(script: string): string | undefined {
  const [, app] = /^(https?:\/\/[^?#]*\/)(?:player\.js|assets\/player-[A-Za-z0-9]+\.js)(?:[?#]|$)/.exec(script) ?? [];
  return app;
}

/**
 * addressInStack is the address of the script in which an Error was made, read from the first
 * line of its stack that has one: browsers write "…URL:LINE:COLUMN". Modules have no other way to
 * tell, where the same file must be a classic script, which may not name import.meta.
 */
export function addressInStack(stack: string): string {
  return /(https?:\/\/[^\s()@]+?)(?::\d+){1,2}\)?$/m.exec(stack)?.[1] ?? "";
}
