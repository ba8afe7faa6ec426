# The hypervisor: its Debian, and its API by pvesh.
require_relative 'spec_helper'

node = "/nodes/#{EXPECTED['node']}"

# clause platform.pve-version
describe package('pve-manager') do
  it { should be_installed.with_version(EXPECTED['pve_version']) }
end

describe command('apt-mark showhold') do
  its(:stdout) { should match(/^pve-manager$/) }
end

# clause platform.debian
describe file('/etc/os-release') do
  its(:content) { should match(/^VERSION_CODENAME=#{EXPECTED['debian_codename']}$/) }
end

describe command('uname -m') do
  its(:stdout) { should match(/^#{EXPECTED['architecture']}$/) }
end

# clause bootstrap.post-config
describe command('sshd -T') do
  its(:stdout) { should match(/^passwordauthentication no$/) }
  its(:stdout) { should match(/^pubkeyauthentication yes$/) }
end

describe command('apt-cache policy pve-manager') do
  its(:stdout) { should match(/#{Regexp.escape(EXPECTED['pve_version'])} 1001/) }
end

EXPECTED['time_servers'].each do |server|
  describe command('chronyc -c -N sources') do
    its(:stdout) { should include server }
  end
end

# clause standalone.no-cluster
%w[/etc/pve/corosync.conf /etc/corosync/corosync.conf].each do |path|
  describe file(path) do
    it { should_not exist }
  end
end

describe service('corosync') do
  it { should_not be_running }
end

# clause standalone.own-web-ui
describe port(8006) do
  it { should be_listening }
end

# clause storage.local-only
describe file('/proc/mounts') do
  its(:content) { should_not match(/ (nfs4?|cifs|ceph|glusterfs) /) }
end

# clause network.bridge
EXPECTED['bridges'].each do |name, port_name|
  describe file("/sys/class/net/#{name}/brif/#{port_name}") do
    it { should exist }
  end

  describe file("/sys/class/net/#{name}/operstate") do
    its(:content) { should match(/^up$/) }
  end
end

describe 'API' do
  it('says the declared version') { expect(pvesh('/version')['version']).to eq EXPECTED['pve_version'] }
  it('knows one node and no cluster') { expect(pvesh('/cluster/status').map { |one| one['type'] }).to eq ['node'] }
  # clause standalone.no-ha
  it('has no HA resources') { expect(pvesh('/cluster/ha/resources')).to eq [] }
  it('has no HA groups') { expect(pvesh('/cluster/ha/groups')).to eq [] }
  # clause standalone.no-replication
  it('replicates nothing') { expect(pvesh('/cluster/replication')).to eq [] }
  it('has the roles') { expect(pvesh('/access/roles').map { |one| one['roleid'] }).to include(*EXPECTED['pve_roles']) }
  it('has the users') { expect(pvesh('/access/users').map { |one| one['userid'] }).to include(*EXPECTED['pve_users']) }
  it('has the grants') { expect(pvesh('/access/acl').map { |one| one['ugid'] }).to include(*EXPECTED['pve_users']) }
  it('has the pool') { expect(pvesh('/pools').map { |one| one['poolid'] }).to include EXPECTED['pool'] }

  it 'has local storages with their content' do
    found = pvesh("#{node}/storage").to_h { |one| [one['storage'], one] }
    expect(found.values.map { |one| one['shared'].to_i }).to all(eq 0)
    EXPECTED['storages'].each { |name, content| expect(found[name]['content'].split(',').sort).to eq content }
  end

  # clause identity.no-strangers
  it 'has no stranger' do
    declared = EXPECTED['guests'].map { |one| one['vmid'] } + EXPECTED['templates']
    expect(pvesh("#{node}/qemu").map { |one| one['vmid'].to_i }.sort).to eq declared.sort
    expect(pvesh("#{node}/lxc")).to eq []
  end

  # clause template.fedora
  EXPECTED['templates'].each do |vmid|
    it "has the template #{vmid}" do
      config = pvesh("#{node}/qemu/#{vmid}/config")
      expect(config['template'].to_s).to eq '1'
      expect(config['agent'].to_s).to start_with '1'
      expect(config['net0']).to start_with 'virtio='
    end
  end

  # clause backup.scheduled
  it 'saves every VM by schedule' do
    volumes = pvesh("/cluster/backup/#{EXPECTED['backup_job']}/included_volumes")
    expect(volumes['children'].map { |one| one['id'].to_i }).to include(*EXPECTED['guests'].map { |one| one['vmid'] })
  end
end

EXPECTED['guests'].each do |guest|
  describe guest['name'] do
    let(:config) { pvesh("#{node}/qemu/#{guest['vmid']}/config") }

    # clause provision.from-template
    # clause identity.mac-applied
    # clause separation.category
    # clause recovery.autostart
    # clause recovery.protected
    it 'is configured as declared' do
      expect(config['description']).to include guest['notes']
      expect(config['net0'].upcase).to include guest['mac'].upcase
      expect(config['net0']).to include "bridge=#{guest['bridge']}"
      expect(config['tags'].split(';').sort).to eq guest['tags']
      expect(config['onboot'].to_s).to eq '1'
      expect(config['startup']).to eq guest['startup']
      expect(config['protection'].to_s).to eq '1'
    end

    it 'waits for no restart' do
      expect(pvesh("#{node}/qemu/#{guest['vmid']}/pending").select { |one| one.key?('pending') }).to eq []
    end

    # clause backup.recent
    it 'has a backup' do
      path = "#{node}/storage/#{EXPECTED['backup_storage']}/content --content backup --vmid #{guest['vmid']}"
      expect(pvesh(path)).not_to eq []
    end
  end
end
