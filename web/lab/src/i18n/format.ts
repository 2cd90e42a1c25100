// Numbers and times as text, in the current language.
// Units are literal (`ms`, `s`): the names that `Intl` gives differ in length and break the columns.

import { currentLanguage } from "./index.ts";

/** A count: 12,345. */
export function count(n: number): string {
  return decimal(0).format(n);
}

/** A duration in milliseconds, with as many digits as mean something. */
export function ms(value: number): string {
  if (value >= 10_000) return `${decimal(1).format(value / 1000)} s`;
  return `${decimal(value < 10 ? 2 : value < 100 ? 1 : 0).format(value)} ms`;
}

/** A duration in seconds, one digit. */
export function seconds(valueMs: number): string {
  return decimal(1).format(valueMs / 1000);
}

/** A share between 0 and 1: 61 %. */
export function percent(share: number): string {
  return `${decimal(0).format(share * 100)} %`;
}

const formats = new Map<string, Intl.NumberFormat>();

function decimal(digits: number): Intl.NumberFormat {
  const key = `${currentLanguage()} ${digits}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.NumberFormat(currentLanguage(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
    formats.set(key, format);
  }
  return format;
}
