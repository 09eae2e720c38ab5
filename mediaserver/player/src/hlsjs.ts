/** The bundle of hls.js, which a page loads when it needs it. */
export { default } from "hls.js/light";
