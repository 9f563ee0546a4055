// Exits with 0 while the dispatcher's /readyz says that it is ready; otherwise with 1, and prints why, which
// `docker inspect` shows. Environment: FASTCONTAINER_ADMIN is `admin.listen` of the configuration (HOST:PORT or unix:PATH; by default
// admin.sock in /var/lib/fastcontainer), FASTCONTAINER_ADMIN_TOKEN its token.
import { request } from 'node:http';

const admin = process.env.FASTCONTAINER_ADMIN || 'unix:/var/lib/fastcontainer/admin.sock';
const token = process.env.FASTCONTAINER_ADMIN_TOKEN;
const where = admin.startsWith('unix:') ? { socketPath: admin.slice('unix:'.length) } : hostAndPort(admin);
const headers = { host: 'localhost', ...(token ? { authorization: `Bearer ${token}` } : {}) };

const asked = request({ ...where, path: '/readyz', headers, timeout: 4000 }, async (response) => {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  console.log(body);
  process.exitCode = response.statusCode === 200 ? 0 : 1;
});
asked.on('timeout', () => asked.destroy(new Error('no answer within 4 s')));
asked.on('error', (error) => {
  console.log(`the admin side at ${admin} cannot be asked: ${error.message}`);
  process.exitCode = 1;
});
asked.end();

/** A wildcard address is asked on loopback. */
function hostAndPort(text) {
  const [, host = '', port] = /^(.*):(\d+)$/.exec(text) ?? [];
  const bare = host.replace(/^\[|\]$/g, '');
  return { host: ['', '0.0.0.0', '::'].includes(bare) ? 'localhost' : bare, port };
}
