# One rspec process per host, all of them at once; what is expected comes from a file, and the login from ssh_config.
require 'date'
require 'digest'
require 'json'
require 'net/http'
require 'net/ssh'
require 'openssl'
require 'resolv'
require 'serverspec'
require 'socket'

EXPECTED = JSON.parse(File.read(ENV.fetch('EXPECTED')))
HOST = ENV.fetch('TARGET_HOST')
NODE = "/nodes/#{EXPECTED['node']}".freeze
ANSWERS = {} # of the API, each path asked once by a process

set :backend, :ssh
set :host, HOST
set :ssh_options, Net::SSH::Config.for(HOST, [ENV.fetch('SSH_CONFIG')]).merge(
  user_known_hosts_file: ENV.fetch('KNOWN_HOSTS').split(':'), # net-ssh takes no list from the file
  verify_host_key: :always, auth_methods: ['publickey'], use_agent: false
)
set :disable_sudo, true
set :request_pty, false

def pvesh(path)
  ANSWERS[path] ||= JSON.parse(command("pvesh get #{path} --output-format json").stdout)
end

# Looked at all the same; the site has said why it may not hold.
def waivable(clause)
  yield
rescue RSpec::Expectations::ExpectationNotMetError
  EXPECTED['waived'].include?(clause) ? skip("#{clause} is waived") : raise
end

def configs
  pvesh("#{NODE}/qemu").to_h { |one| [one['vmid'], pvesh("#{NODE}/qemu/#{one['vmid']}/config")] }
end

def config_of(vm)
  pvesh("#{NODE}/qemu/#{vm['vmid']}/config")
end

# `virtio=02:...,bridge=vmbr0` as a hash, for each NIC; the model's name becomes `model`.
def nics(config)
  config.select { |key, _| key.match?(/\Anet\d+\z/) }.transform_values do |value|
    (model, mac), *rest = value.split(',').map { |part| part.split('=', 2) }
    { 'model' => model, 'mac' => mac.downcase }.merge(rest.to_h)
  end
end

def disks(config)
  config.select { |key, value| key.match?(/\A(ide|sata|scsi|virtio)\d+\z/) && !value.start_with?('none') }
end
