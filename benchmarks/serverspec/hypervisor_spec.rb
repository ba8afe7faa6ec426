# The hypervisor's Debian.
require_relative 'spec_helper'

# clause platform.pve-version: package_has_the_declared_version, package_is_held_there
describe package('pve-manager') do
  it { should be_installed.with_version(EXPECTED['pve_version']) }
end

# clause bootstrap.post-config: pve_manager_is_on_hold
describe command('apt-mark showhold') do
  its(:stdout) { should match(/^pve-manager$/) }
end

# clause platform.debian: runs_the_declared_debian, runs_on_the_declared_architecture
describe file('/etc/os-release') do
  its(:content) { should match(/^ID=debian$/) }
  its(:content) { should match(/^VERSION_ID="#{EXPECTED['debian_release']}"$/) }
  its(:content) { should match(/^VERSION_CODENAME=#{EXPECTED['debian_codename']}$/) }
end

describe command('uname -m') do
  its(:stdout) { should match(/^#{EXPECTED['architecture']}$/) }
end

# clause bootstrap.post-config: ssh_takes_keys_only, ssh_lets_root_in_by_key_alone
describe command('sshd -T -C user=root,host=localhost,addr=127.0.0.1') do
  its(:stdout) { should match(/^passwordauthentication no$/) }
  its(:stdout) { should match(/^pubkeyauthentication yes$/) }
  its(:stdout) { should match(/^kbdinteractiveauthentication no$/) }
  its(:stdout) { should match(/^permitrootlogin (without|prohibit)-password$/) }
end

# clause bootstrap.post-config: only_declared_repositories_are_on, apt_is_pinned_to_the_declared_version
describe command("apt-get indextargets --no-release-info --format '$(TARGET_OF) $(REPO_URI) $(RELEASE) $(COMPONENT)'") do
  it 'names the declared repositories alone' do
    seen = subject.stdout.lines.map { |line| line.sub('$(COMPONENT)', '').sub(%r{/ }, ' ').strip }
    expect(seen.uniq.sort).to eq EXPECTED['repositories']
  end
end

describe command('apt-cache policy pve-manager') do
  it 'pins the declared version alone' do
    versions = subject.stdout.scan(/^ (?:\*\*\*|   ) (\S+) (-?\d+)$/).select { |_, priority| priority.to_i >= 1000 }
    expect(versions.map(&:first)).to eq [EXPECTED['pve_version']]
  end
end

# clause bootstrap.post-config: asks_the_declared_time_servers, clock_follows_one_of_them
describe command('chronyc -c -N sources') do
  it 'has the declared time servers' do
    expect(subject.stdout.lines.map { |line| line.split(',')[2] }.sort).to eq EXPECTED['time_servers'].sort
  end

  its(:stdout) { should match(/^[^,]*,\*,/) }
end

# clause bootstrap.post-config: nested_virtualization_is_asked_for_where_declared
describe command('cat /etc/modprobe.d/*.conf /usr/lib/modprobe.d/*.conf') do
  it 'asks for VMs in VMs where declared' do
    asked = subject.stdout.match?(/^\s*options\s+kvm[-_](intel|amd)\s.*\bnested=[1Yy]/)
    expect(asked).to be EXPECTED['nested']
  end
end

# clause bootstrap.post-config: nested_virtualization_works_where_declared
describe command('cat /sys/module/kvm_intel/parameters/nested /sys/module/kvm_amd/parameters/nested') do
  it('runs VMs in VMs where declared') { expect(!EXPECTED['nested'] || subject.stdout.match?(/[1Yy]/)).to be true }
end

# clause standalone.no-cluster: host_has_no_corosync_configuration, corosync_does_not_run
describe file('/etc/pve/nodes') do
  it { should be_directory }
end

%w[/etc/pve/corosync.conf /etc/corosync/corosync.conf].each do |path|
  describe file(path) do
    it { should_not exist }
  end
end

describe service('corosync') do
  it { should_not be_running }
end

# clause standalone.own-web-ui: answers_with_the_pinned_certificate
describe 'The web interface' do
  it 'answers with the pinned certificate' do
    context = OpenSSL::SSL::SSLContext.new # compared with the pin below
    socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.open(*EXPECTED['web'].values_at('host', 'port')), context)
    socket.connect
    expect(Digest::SHA256.hexdigest(socket.peer_cert.to_der)).to eq EXPECTED['fingerprint'].delete(':').downcase
  end
end

# clause storage.local-only: no_network_file_system_is_mounted
describe file('/proc/mounts') do
  it 'has no network file system' do
    expect(subject.content.lines.map { |line| line.split[2] } & EXPECTED['network_file_systems']).to eq []
  end
end

# clause network.bridge: bridge_has_its_port, bridge_is_up
EXPECTED['bridges'].each do |name, port_name|
  describe command("ls /sys/class/net/#{name}/brif") do
    it("is #{port_name} beside the VMs'") do
      expect(subject.stdout.split.grep_v(/\A(tap|veth|fwpr)\d/)).to eq [port_name]
    end
  end

  describe file("/sys/class/net/#{name}/operstate") do
    its(:content) { should match(/^up$/) }
  end
end

# clause network.core-router: answers_dhcp_alone
EXPECTED['dhcp_questions'].each do |bridge, question|
  describe command(question) do
    it "hears the core router alone on #{bridge}" do # who answers from two MACs is two
      heard = JSON.parse(subject.stdout)
      servers = (heard['offers'] + heard['servers']).map { |one| one.values_at('server', 'source_mac') }.uniq
      expect(servers.map(&:first)).to eq [EXPECTED['dhcp_server']]
    end
  end
end

# clause identity.no-strangers: knows_every_mac_on_the_segment
EXPECTED['guests'].map { |guest| guest['bridge'] }.uniq.each do |bridge|
  describe command("bridge -j fdb show br #{bridge}") do
    it 'has heard nobody unknown' do
      command("ping -c 1 -W 1 #{EXPECTED['router']['address']}").exit_status # so that the node knows its MAC
      neighbours = JSON.parse(command('ip -j -4 neigh show').stdout)
      declared = neighbours.select { |one| EXPECTED['declared_addresses'].include?(one['dst']) }
      learned = JSON.parse(subject.stdout).reject { |one| %w[permanent static].include?(one['state']) }
      strangers = learned.map { |one| one['mac'] } - declared.map { |one| one['lladdr'] } - EXPECTED['known_macs']
      expect(strangers).to eq []
    end
  end
end
