/** Milliseconds as they are printed. */
export function ms(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}

/** Bytes as mebibytes. */
export function mib(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

/** Bytes as kibibytes. */
export function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

/** A multiple. */
export function times(ratio: number): string {
  return `${ratio.toFixed(2)} ×`;
}

/** A share of one, in per cent. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** A number of things. */
export function count(value: number): string {
  return value.toLocaleString('en-GB', { maximumFractionDigits: 1 });
}
