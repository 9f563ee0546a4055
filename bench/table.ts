/** Rows below a heading, ready to be printed. The first column is text, the others are figures. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What a reader has to know of the figures. */
  readonly notes?: readonly string[];
}

/** For a terminal: columns of one width, figures to the right. */
export function plainText({ title, columns, rows, notes = [] }: Table): string {
  const all = [columns, ...rows];
  const widths = columns.map((_, index) => Math.max(...all.map((row) => (row[index] ?? '').length)));
  const line = (row: readonly string[]) =>
    widths
      .map((width, index) => (index === 0 ? (row[index] ?? '').padEnd(width) : (row[index] ?? '').padStart(width)))
      .join('   ')
      .trimEnd();
  return [title, ...all.map(line), ...notes.map((note) => `  ${note}`)].join('\n');
}

/** For a page of the documentation. */
export function markdown({ title, columns, rows, notes = [] }: Table): string {
  const line = (row: readonly string[]) => `| ${columns.map((_, index) => cell(row[index] ?? '')).join(' | ')} |`;
  const rule = `|${columns.map((_, index) => (index === 0 ? '---' : '---:')).join('|')}|`;
  const lines = [`**${title}**`, '', line(columns), rule, ...rows.map(line)];
  return [...lines, ...(notes.length > 0 ? ['', notes.join(' ')] : [])].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
