/** hls.js has one set of types for both of its builds. */
declare module "hls.js/light" {
  export { default } from "hls.js";
}
