import type { RuleSet } from '../model/wake/wake-keys.js';

/** What a built-in set matches: a request that has one of the texts in its user agent, or one of the paths. */
interface SetPatterns {
  readonly userAgents?: readonly string[];
  readonly paths?: readonly string[];
}

/**
 * Programs that say who they are. Libraries for HTTP (curl, python-requests, okhttp …) are in none of these sets: apps and people use them
 * as well.
 */
export const setPatterns: Readonly<Record<RuleSet, SetPatterns>> = {
  bots: {
    userAgents: [
      // What most crawlers write, and browsers do not: where to read of them.
      ...['+http', 'crawler', 'spider'],
      // Search engines.
      ...['Googlebot', 'GoogleOther', 'Google-InspectionTool', 'AdsBot-Google', 'Mediapartners-Google', 'APIs-Google'],
      ...['FeedFetcher-Google', 'Google-Read-Aloud', 'Storebot-Google', 'bingbot', 'BingPreview', 'adidxbot', 'msnbot'],
      ...[
        'Applebot',
        'DuckDuckBot',
        'DuckAssistBot',
        'YandexBot',
        'YandexImages',
        'YandexAccessibilityBot',
        'YandexMobileBot',
      ],
      ...['Baiduspider', 'PetalBot', 'SeznamBot', 'coccocbot', 'Mojeek', 'Qwantbot', 'Qwantify', 'Yeti/', 'Daumoa'],
      ...['Sogou web', 'Sogou inst', 'Exabot', 'Slurp', 'ia_archiver', 'archive.org_bot', 'Bravebot', 'Kagibot'],
      // Crawlers and fetchers of AI services.
      ...['GPTBot', 'ChatGPT-User', 'OAI-SearchBot', 'ClaudeBot', 'Claude-User', 'Claude-SearchBot', 'Claude-Web'],
      ...['anthropic-ai', 'PerplexityBot', 'Perplexity-User', 'CCBot', 'Bytespider', 'Amazonbot', 'meta-externalagent'],
      ...['meta-externalfetcher', 'FacebookBot', 'cohere-ai', 'cohere-training', 'Diffbot', 'omgili', 'ImagesiftBot'],
      ...['Timpibot', 'YouBot', 'MistralAI-User', 'PanguBot', 'AI2Bot', 'iaskspider', 'ICC-Crawler', 'VelenPublic'],
      // Previews of links.
      ...['facebookexternalhit', 'facebookcatalog', 'Twitterbot', 'LinkedInBot', 'Slackbot', 'Slack-ImgProxy'],
      ...[
        'Discordbot',
        'TelegramBot',
        'WhatsApp/',
        'Pinterestbot',
        'redditbot',
        'SkypeUriPreview',
        'Embedly',
        'Iframely',
      ],
      // Search engine optimisation and research.
      ...['SemrushBot', 'SiteAuditBot', 'AhrefsBot', 'AhrefsSiteAudit', 'MJ12bot', 'DotBot', 'rogerbot', 'BLEXBot'],
      ...['DataForSeoBot', 'serpstatbot', 'SeekportBot', 'Barkrowler', 'Screaming Frog', 'MegaIndex', 'linkdexbot'],
      ...['SEOkicks', 'ZoominfoBot', 'AwarioBot', 'TurnitinBot', 'proximic', 'GrapeshotCrawler', 'Nutch', 'heritrix'],
      ...['Scrapy', 'HeadlessChrome', 'PhantomJS', 'HTTrack', 'trendictionbot', 'NetcraftSurveyAgent', 'Netcraft Web'],
    ],
  },
  monitors: {
    userAgents: [
      ...['UptimeRobot', 'Pingdom', 'StatusCake', 'Better Uptime', 'Better Stack', 'Site24x7', 'NewRelicPinger'],
      ...['DatadogSynthetics', 'Datadog/Synthetics', 'updown.io', 'HetrixTools', 'FreshpingBot', 'Uptime-Kuma'],
      ...['check_http/', 'GoogleStackdriverMonitoring', 'Amazon-Route53-Health-Check', 'Zabbix', 'kube-probe'],
      ...[
        'ELB-HealthChecker',
        'GoogleHC/',
        'Blackbox-Exporter',
        'Blackbox Exporter',
        'NodePing',
        'Montastic',
        'jetmon',
      ],
      ...[
        'Checkly',
        'OhDear',
        'Oh Dear',
        'PRTG',
        'Monitis',
        'Uptimebot',
        'UptimeBot',
        'Uptime.com',
        'Consul Health Check',
      ],
      ...['Cloudflare-Healthchecks', 'Cloudflare-Traffic-Manager', 'Catchpoint', 'Dotcom-Monitor', 'Gatus/', 'Icinga'],
    ],
  },
  scanners: {
    userAgents: [
      ...['zgrab', 'masscan', 'Nmap Scripting', 'Nikto', 'sqlmap', 'Nuclei', 'CensysInspect', 'Expanse', 'l9explore'],
      ...[
        'InternetMeasurement',
        'gobuster',
        'DirBuster',
        'feroxbuster',
        'WPScan',
        'WhatWeb',
        'Odin;',
        'paloaltonetworks',
      ],
      ...['fuzz faster u fool', 'l9tcpid', 'NetSystemsResearch', 'visionheight', 'Hello World', 'Hello, World'],
    ],
    paths: [
      // WordPress: its login, and files whose presence tells of it.
      ...[
        '*/wp-login.php',
        '*/xmlrpc.php',
        '*/wlwmanifest.xml',
        '/wp-admin',
        '/wp-admin/*',
        '/wp-config*',
        '/wp-*.php',
      ],
      // Files that must not be published.
      ...['*/.env*', '*/.git/*', '/.svn/*', '/.hg/*', '/.aws/*', '/.ssh/*', '/.vscode/*', '/.idea/*', '*/.DS_Store'],
      ...['*/.htaccess', '*/.htpasswd', '/id_rsa', '/web.config', '*/phpinfo.php', '/info.php', '*/phpunit/*'],
      // Consoles and known holes.
      ...['/phpmyadmin/*', '/phpMyAdmin/*', '/pma/*', '/adminer*.php', '/cgi-bin/*', '/actuator/*', '/solr/admin/*'],
      ...['/boaform/*', '/HNAP1*', '/owa/auth/*', '/ecp/Current/*', '/autodiscover/*', '/Autodiscover/*'],
      ...['/_ignition/*', '/server-status', '/manager/html', '/GponForm/*', '/setup.cgi', '/api/jsonws/*'],
      ...['/_profiler/*', '/SDK/webLanguage', '/evox/*', '/dana-na/*', '/+CSCOE+/*', '/global-protect/*', '/alfa*.php'],
    ],
  },
  static: {
    paths: [
      ...['/robots.txt', '/favicon.ico', '/apple-touch-icon*.png', '/ads.txt', '/app-ads.txt', '/sellers.json'],
      ...['/.well-known/*', '/sitemap*.xml', '/sitemap*.xml.gz', '/llms.txt', '/security.txt', '/humans.txt'],
      ...['/browserconfig.xml', '/crossdomain.xml'],
    ],
  },
};
