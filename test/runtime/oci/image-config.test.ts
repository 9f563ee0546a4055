import t from 'tap';
import { imageConfig, withImage } from '../../../src/runtime/oci/image-config.js';
import { containerApp } from './open-containers.js';

const { command: _none, ...app } = containerApp({ image: 'oci:/srv/images/shop:v1' });

function parsed(config: unknown) {
  return imageConfig(JSON.stringify({ architecture: 'amd64', config }));
}

t.test('an app says what its image would say otherwise', async (t) => {
  const image = parsed({
    ...{ Env: ['PATH=/opt/bin', 'MODE=image', 'EMPTY=', 'SUM=1+1=2'], Entrypoint: ['/entry'], Cmd: ['serve', '--all'] },
    ...{ WorkingDir: '/work', User: 'web:web' },
  });
  t.match(withImage(app, image), {
    ...{ command: ['/entry', 'serve', '--all'], cwd: '/work', user: 'web:web' },
    env: { PATH: '/opt/bin', MODE: 'image', EMPTY: '', SUM: '1+1=2' },
  });
  const own = { ...app, command: ['migrate'], cwd: '/srv', user: 'root', env: { MODE: 'app' } };
  t.match(withImage(own, image), { command: ['/entry', 'migrate'], cwd: '/srv', user: 'root' });
  t.same(withImage(own, image).env, { PATH: '/opt/bin', MODE: 'app', EMPTY: '', SUM: '1+1=2' });
});

t.test('no image makes its app root', async (t) => {
  for (const User of ['', 'root', '0', '000', '0:0', 'root:web', undefined]) {
    t.equal(withImage(app, parsed({ User })).user, undefined, String(User));
  }
});

t.test('an image without a configuration says nothing', async (t) => {
  for (const config of [undefined, null, {}, { Env: null, Cmd: null }]) t.same(withImage(app, parsed(config)), app);
});

t.test('a configuration that is none is refused', async (t) => {
  for (const config of [
    { Env: 'A=b' },
    { Env: ['=b'] },
    { Env: Array.from({ length: 10_001 }, (_, index) => `A${index}=`) },
    { Cmd: ['x'.repeat(200_000)] },
    { WorkingDir: '/x'.repeat(3_000) },
    { Env: ['A'] },
    { Cmd: [1] },
    { User: 5 },
    { Cmd: ['a\0b'] },
    [],
  ]) {
    t.throws(() => parsed(config), /its config/, JSON.stringify(config));
  }
  for (const text of ['', '[]', 'null', '"x"']) t.throws(() => imageConfig(text));
});
