// Bundles src into dist: `node build.mjs`. With --tests it bundles the unit tests into
// .test instead, where `node --test` runs them.
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const source = join(here, "src");

/** Browsers that can play: all of these have WebRTC, H.264 and requestVideoFrameCallback or a fallback. */
const target = ["es2021", "chrome92", "edge92", "firefox100", "safari15"];

/** bundle returns the bundles as files, and their names by those of their sources: "play.ts" -> "assets/play-ABC.js". */
async function bundle(dist, names, options) {
  const result = await build({
    entryPoints: names.map((name) => join(source, name)),
    outdir: join(dist, "assets"),
    outbase: source,
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

async function bundlePages() {
  const dist = join(here, "dist");
  // A page loads hls.js when it needs it, and must know its name.
  const hls = await bundle(dist, ["hlsjs.ts"], { banner: { js: `/*! hls.js, Apache-2.0: see NOTICE */` } });
  const pages = await bundle(dist, ["play.ts", "publish.ts", "play.css", "publish.css"], {
    define: { HLS_SCRIPT: JSON.stringify(hls.assets.get("hlsjs.ts")) },
  });
  const { assets } = pages;
  const files = new Map([...hls.files, ...pages.files]);
  for (const page of ["play.html", "publish.html"]) {
    const html = await readFile(join(source, page), "utf8");
    const filled = html.replace(/\{\{([\w.]+)\}\}/g, (_, name) => {
      const asset = assets.get(name);
      if (!asset) {
        throw new Error(`${page} names ${name}, which was not built`);
      }
      return asset;
    });
    files.set(page, filled);
  }
  await replaceFiles(dist, files);
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
  const names = (await readdir(source)).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: names.map((name) => join(source, name)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

await (process.argv.includes("--tests") ? bundleTests() : bundlePages());
