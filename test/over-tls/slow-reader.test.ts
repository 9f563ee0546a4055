// The same over TLS: see tls-bridge.ts.
process.env['TEST_OVER_TLS'] = '1';
await import('../abuse/slow-reader.test.js');
