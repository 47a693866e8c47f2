import {chromium} from "playwright-core";

/** Software rendering, since test machines have no GPU; and no services of the browser's own. */
const ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
  "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--no-first-run"];

/**
 * Headless Chromium: the one that CHROMIUM names, or Debian's.
 * @param {string[]} [more] Further arguments.
 */
export function launch(more = []) {
  return chromium.launch({executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...ARGUMENTS, ...more]});
}
