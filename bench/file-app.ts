/** An app file as customers have them; nobody asks for the app. */
export function fileApp(index: number): Readonly<Record<string, unknown>> {
  const name = `file-${index}`;
  return {
    name,
    domains: [`${name}.example`, `www.${name}.example`],
    runtime: 'process',
    command: ['node', 'server.js'],
    env: { NODE_ENV: 'production' },
    idleTtl: '5m',
    scale: { min: 0, max: 2 },
  };
}
