// Sends with Segment's unmodified library for Node from the directory SDK_DIRECTORY. Input and output are those of
// ../python/send.py.
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const { Analytics } = createRequire(`${process.env.SDK_DIRECTORY}/package.json`)('@segment/analytics-node')

const VALUES = {
  whole: 42,
  large: 2 ** 53 + 1,
  fraction: 0.1,
  small: 1e-7,
  huge: 1e300,
  beyond: 1e21,
  minusZero: -0,
  notANumber: NaN,
  infinite: Infinity,
  truth: true,
  nothing: null,
  left: undefined,
  moment: new Date(Date.UTC(2026, 0, 31, 23, 59, 59, 123)),
  list: [1, 2.5, 'three', undefined],
  text: 'Grüße 😀 \u2028 \\ "',
}

function values(user) {
  return [
    ['track', { userId: user, event: 'Values', properties: VALUES, timestamp: new Date('2026-01-31T12:30:15.678+02:00') }],
    ['track', { userId: user, event: 'Half a pair', properties: { value: 'x\ud800y' } }],
  ]
}

const scenario = JSON.parse(await text(process.stdin))
const analytics = new Analytics({
  host: scenario.host,
  writeKey: scenario.key,
  httpRequestTimeout: (scenario.timeoutSeconds ?? 15) * 1000,
})
const failed = new Set()
const notSent = []
analytics.on('error', ({ reason }) => {
  if (/maximum event size/.test(reason?.message)) notSent.push(reason.message)
  else failed.add(String(reason?.message ?? reason))
})
for (const [method, fields] of scenario.calls ?? values(scenario.user)) analytics[method](fields)
if (scenario.leaving) {
  await analytics.flush()
  for (const [method, fields] of scenario.leaving) analytics[method](fields)
}
await analytics.closeAndFlush({ timeout: 60_000 })
console.log(JSON.stringify({ failed: [...failed], notSent }))
