// Bundles src into dist, and the page of package controlroom likewise: `node build.mjs`. With
// --tests it bundles the unit tests of both into .test instead, where `node --test` runs them.
// With --package FOLDER VERSION it makes the npm package of the custom element.
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const source = join(here, "src");
const room = join(here, "../../api/controlroom");

/** Browsers that can play: all of these have WebRTC, H.264 and requestVideoFrameCallback or a fallback. */
const target = ["es2021", "chrome92", "edge92", "firefox100", "safari15"];

/**
 * bundle returns the bundles as files, and their names by those of their sources: "play.ts" ->
 * "assets/play-ABC.js". A source with another name for its bundle is {in, out}.
 */
async function bundle(dist, names, { from = source, ...options }) {
  const result = await build({
    entryPoints: names.map((name) => (typeof name === "string" ? join(from, name) : { ...name, in: join(from, name.in) })),
    outdir: join(dist, "assets"),
    outbase: from,
    entryNames: "[name]-[hash]",
    bundle: true,
    format: "esm",
    minify: true,
    target,
    metafile: true,
    write: false,
    legalComments: "none",
    logLevel: "warning",
    ...options,
  });
  const assets = new Map();
  for (const [file, output] of Object.entries(result.metafile.outputs)) {
    if (output.entryPoint) {
      assets.set(basename(output.entryPoint), `assets/${basename(file)}`);
    }
  }
  return { assets, files: result.outputFiles.map((file) => [`assets/${basename(file.path)}`, file.text]) };
}

/** The custom element may have at most so many bytes, as the server sends it and compressed by a proxy. */
const budget = { plain: 85_000, gzip: 28_000 };

async function bundlePages() {
  const dist = join(here, "dist");
  const { files, defines } = await bundleLibraries(dist);
  const pages = await bundle(dist, ["play.ts", "publish.ts", "play.css", "publish.css"], { define: defines });
  const element = await bundle(dist, [{ in: "elementscript.ts", out: "player" }], { define: defines, format: "iife" });
  for (const [name, content] of [...pages.files, ...element.files]) {
    files.set(name, content);
  }
  weigh(element.files[0][1]);
  for (const page of ["play.html", "publish.html"]) {
    files.set(page, await fill(join(source, page), pages.assets));
  }
  await replaceFiles(dist, files);
}

/** bundleRoom bundles the page of the control room. */
async function bundleRoom() {
  const [dist, from] = [join(room, "dist"), join(room, "src")];
  const { files, assets } = await bundle(dist, ["room.ts", "room.css"], { from });
  await replaceFiles(dist, new Map([...files, ["room.html", await fill(join(from, "room.html"), assets)]]));
}

/** fill returns a page in which the names of sources are replaced by those of their bundles. */
async function fill(page, assets) {
  const html = await readFile(page, "utf8");
  return html.replace(/\{\{([\w.]+)\}\}/g, (_, name) => {
    const asset = assets.get(name);
    if (!asset) {
      throw new Error(`${page} names ${name}, which was not built`);
    }
    return asset;
  });
}

/** bundleLibraries bundles what a player loads when it needs it, and tells a player's bundle the names. */
async function bundleLibraries(dist) {
  const libraries = await bundle(dist, ["hlsjs.ts", "hlsjsfull.ts"], { banner: { js: `/*! hls.js, Apache-2.0: see NOTICE */` } });
  const style = await bundle(dist, ["element.css"], {});
  return {
    files: new Map(libraries.files),
    defines: {
      HLS_SCRIPT: JSON.stringify(libraries.assets.get("hlsjs.ts")),
      HLS_CAPTIONS_SCRIPT: JSON.stringify(libraries.assets.get("hlsjsfull.ts")),
      ELEMENT_STYLE: JSON.stringify(style.files[0][1]),
    },
  };
}

function weigh(script) {
  const size = { plain: Buffer.byteLength(script), gzip: gzipSync(script, { level: 9 }).length };
  console.log(`player.js: ${size.plain} bytes of ${budget.plain}, compressed ${size.gzip} of ${budget.gzip}`);
  if (size.plain > budget.plain || size.gzip > budget.gzip) {
    throw new Error("player.js is larger than its budget, which stands in build.mjs");
  }
}

/** bundlePackage fills a folder with the npm package of the custom element, of that version. */
async function bundlePackage(folder, name) {
  const [, release] = /^v?(\d+\.\d+\.\d+(?:-[\w.-]+)?)$/.exec(name) ?? [];
  const version = release ?? `0.0.0-g${name.replace(/[^A-Za-z0-9-]/g, "-")}`; // what is no release has git's name
  const { defines } = await bundleLibraries(folder);
  const module = await bundle(folder, ["elementmodule.ts"], { define: defines });
  const script = await bundle(folder, [{ in: "elementscript.ts", out: "player" }], { define: defines, format: "iife" });
  const manifest = { ...JSON.parse(await readFile(join(here, "npm/package.json"), "utf8")), version };
  const files = new Map([
    ["package.json", `${JSON.stringify(manifest, null, 2)}\n`],
    ["player.mjs", module.files[0][1]],
    ["player.js", script.files[0][1]],
  ]);
  for (const [name, path] of [["player.d.ts", "npm/player.d.ts"], ["README.md", "npm/README.md"], ["LICENSE", "../../LICENSE"]]) {
    files.set(name, await readFile(join(here, path), "utf8"));
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const [name, content] of files) {
    await writeFile(join(folder, name), content);
  }
}

/**
 * replaceFiles makes dist hold exactly the given files and .gitkeep. A file that is
 * right already is not touched, so that building again neither disturbs a compiler that
 * is embedding it nor makes it compile again.
 */
async function replaceFiles(dist, files) {
  await mkdir(join(dist, "assets"), { recursive: true });
  for (const [name, content] of files) {
    const path = join(dist, name);
    if ((await readFile(path, "utf8").catch(() => undefined)) !== content) {
      await writeFile(path, content);
    }
  }
  for (const folder of ["", "assets/"]) {
    for (const name of await readdir(join(dist, folder))) {
      if (folder + name !== "assets" && name !== ".gitkeep" && !files.has(folder + name)) {
        await rm(join(dist, folder, name), { recursive: true });
      }
    }
  }
}

async function bundleTests() {
  const out = join(here, ".test");
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
  const tests = [];
  for (const folder of [source, join(room, "src")]) {
    tests.push(...(await readdir(folder)).filter((name) => name.endsWith(".test.ts")).map((name) => join(folder, name)));
  }
  await build({
    entryPoints: tests,
    outdir: out,
    entryNames: "[name]",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

const [what, ...words] = process.argv.slice(2);
switch (what) {
  case undefined:
    await bundlePages();
    await bundleRoom();
    break;
  case "--tests":
    await bundleTests();
    break;
  case "--package":
    await bundlePackage(...words);
    break;
  default:
    throw new Error(`${what} is neither --tests nor --package FOLDER VERSION`);
}
