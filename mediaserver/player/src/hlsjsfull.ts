/** The bundle of hls.js with captions, which a page loads when it needs them. */
export { default } from "hls.js";
