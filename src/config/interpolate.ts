/** Environment variables by name, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Interpolation {
  readonly text: string;
  /** Whether a variable was put in. */
  readonly changed: boolean;
  readonly faults: readonly string[];
}

export type Interpolate = (text: string) => Interpolation;

/** For files that must not see the daemon's environment: `${` is a fault, all other text is unchanged. */
export const refuseVariables: Interpolate = (text) => ({
  text,
  changed: false,
  faults: text.includes('${')
    ? ['no variable is put into a file of a customer; write the value out, and $NAME for a variable of a shell']
    : [],
});

/**
 * Replaces `${VAR}` and `${VAR:-fallback}` (also if VAR is empty) in one scalar; `$$` is a literal `$`, a lone `$`
 * stays. Values are not interpolated again, so that they cannot inject anything.
 */
export function interpolate(text: string, env: Environment): Interpolation {
  if (!text.includes('$')) return { text, changed: false, faults: [] };
  const faults: string[] = [];
  let changed = false;
  const result = text.replace(/\$\$|\$\{([^}]*)(\}?)/g, (whole, inner: string | undefined, end: string) => {
    if (whole === '$$') return '$';
    changed = true;
    const value = valueOf(inner ?? '', end, env);
    if (typeof value === 'string') return value;
    faults.push(value.fault);
    return '';
  });
  return { text: result, changed, faults };
}

function valueOf(inner: string, end: string, env: Environment): string | { fault: string } {
  if (end === '') return { fault: `\${${inner} is not closed; write $$ for a literal $` };
  const match = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/.exec(inner);
  if (!match) return { fault: `\${${inner}} is not \${VAR} or \${VAR:-fallback}; write $$ for a literal $` };
  const [, name, fallback] = match;
  const value = env[name!];
  if (value !== undefined && (value !== '' || fallback === undefined)) return value;
  if (fallback === undefined && isApps(name!))
    return {
      fault:
        `\${${name}} is put in when the file is read, but ${name} is what each instance gets in its own environment; ` +
        `for a shell in a command write $${name}, as in [sh, -c, 'exec program "$${name}"']`,
    };
  return fallback ?? { fault: `environment variable ${name} is not set; set it or write \${${name}:-fallback}` };
}

/** Whether the daemon gives this variable to apps. */
function isApps(name: string): boolean {
  return name === 'PORT' || name === 'HOST';
}
