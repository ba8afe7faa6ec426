# One rspec process per host, all of them at once; what is expected comes from a file, and the login from ssh_config.
require 'json'
require 'net/http'
require 'net/ssh'
require 'resolv'
require 'serverspec'
require 'socket'

EXPECTED = JSON.parse(File.read(ENV.fetch('EXPECTED')))
HOST = ENV.fetch('TARGET_HOST')

set :backend, :ssh
set :host, HOST
set :ssh_options, Net::SSH::Config.for(HOST, [ENV.fetch('SSH_CONFIG')]).merge(
  user_known_hosts_file: ENV.fetch('KNOWN_HOSTS').split(':'), # net-ssh takes no list from the file
  verify_host_key: :always, auth_methods: ['publickey'], use_agent: false
)
set :disable_sudo, true
set :request_pty, false

def pvesh(path)
  JSON.parse(command("pvesh get #{path} --output-format json").stdout)
end
