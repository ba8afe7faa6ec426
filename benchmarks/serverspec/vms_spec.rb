# The VMs as the hypervisor has them.
require_relative 'spec_helper'

def excepted
  EXPECTED['exceptions'].select { |one| one['until'] >= Date.today.iso8601 }.map { |one| one['vmid'] }
end

describe 'The hypervisor' do
  # clause identity.no-strangers: knows_every_vm_here, exceptions_have_not_ended
  it 'has no stranger' do
    there = configs.reject { |vmid, _| excepted.include?(vmid) }.map { |vmid, config| [vmid, config['name']] }
    declared = (EXPECTED['guests'] + EXPECTED['templates']).map { |one| one.values_at('vmid', 'name') }
    expect(there - declared).to eq []
    expect(pvesh("#{NODE}/lxc").map { |one| one['vmid'].to_i } - excepted).to eq []
  end

  it 'has no VM whose exception has ended' do
    expect((EXPECTED['exceptions'].map { |one| one['vmid'] } & configs.keys) - excepted).to eq []
  end

  # clause provision.no-terraform: nothing_bears_a_mark_of_terraform
  it 'bears no mark of Terraform' do
    said = configs.values.map { |one| "#{one['tags']} #{one['description']}" } + pvesh('/pools').map { |one| one['comment'].to_s }
    expect(said.grep(/\b(terraform|opentofu|tofu)\b/i)).to eq []
  end

  # clause separation.no-tenants: hypervisor_bears_no_tenant
  it 'bears no tenant' do
    said = configs.values.map { |one| one['tags'].to_s } + pvesh('/pools').map { |one| one['poolid'].tr('_', ' ') }
    expect(said.grep(/\btenants?\b/i)).to eq []
  end

  # clause network.core-router: core_router_is_no_vm_here
  it 'bears no core router' do
    name = EXPECTED['router']['name']
    expect([name, "#{name}.#{EXPECTED['domain']}"] & configs.values.map { |one| one['name'] }).to eq []
  end

  # clause recovery.autostart: all_start_in_their_declared_turns
  it 'starts all in their turns' do
    started = EXPECTED['guests'].map { |vm| config_of(vm) }.select { |one| one['onboot'].to_i == 1 }
    turns = started.group_by { |one| one['startup'][/order=(\d+)/, 1].to_i }.sort
    expect(turns.map { |_, those| those.map { |one| one['name'] }.sort }).to eq EXPECTED['turns']
  end
end

EXPECTED['templates'].each do |template|
  describe "The template #{template['name']}" do
    let(:config) { config_of(template) }

    # clause template.fedora: is_fedora, is_a_template, lies_on_its_local_storage, has_the_guest_agent_on
    it 'is Fedora' do
      waivable('template.fedora') { expect([template['os'], config['name']]).to match ['fedora', /fedora/] }
    end

    it('is one') { expect([config['name'], config['template'].to_i]).to eq [template['name'], 1] }

    it 'lies on its local storage' do
      types = pvesh("#{NODE}/storage").to_h { |one| [one['storage'], one['type']] }
      expect(disks(config).values.map { |volume| volume.split(':').first }.uniq).to eq [template['storage']]
      expect(EXPECTED['local_types']).to include types[template['storage']]
    end

    it('has the guest agent on') { expect(config['agent'].to_s).to match(/\A(enabled=)?1/) }

    # clause template.fedora: has_a_virtio_nic, has_a_virtio_disk, carries_the_build_mark
    it('has a virtio NIC') { expect(nics(config).values.map { |nic| nic['model'] }.uniq).to eq ['virtio'] }

    it 'has a virtio disk' do
      behind = config['scsihw'].to_s.start_with?('virtio-scsi') ? /\A(virtio|scsi)/ : /\Avirtio/
      expect(disks(config).keys.grep(behind)).not_to be_empty
    end

    it('carries the build mark') { expect(config['description']).to include template['build_mark'] }
  end
end

EXPECTED['guests'].each do |guest|
  describe guest['name'] do
    let(:config) { config_of(guest) }

    # clause provision.repeatable: would_change_nothing
    it 'is there and not half made' do
      expect(config['name']).to eq guest['name']
      expect(config).not_to include 'lock'
      expect(config['description'].lines.map(&:chomp)).not_to include guest['unfinished']
    end

    # clause provision.from-template: notes_name_a_declared_template, notes_name_the_build, notes_are_its_own
    guest['origin'].each do |what, words|
      it("names where it is from: #{what}") { expect(config['description']).to include " #{words} " }
    end

    # clause template.fedora: relies_on_no_cloud_init
    it 'relies on no cloud-init' do
      keys = config.keys.grep(/\A(ciuser|cipassword|cicustom|citype|ciupgrade|sshkeys|nameserver|searchdomain)\z/)
      expect(keys + disks(config).values.grep(/cloudinit/)).to eq []
    end

    # clause identity.mac-applied: is_configured_with_its_mac, no_other_nic_waits_for_a_restart
    it 'is configured with its MAC' do
      expect(nics(config).transform_values { |nic| nic['mac'] }).to eq(guest['slot'] => guest['mac'])
    end

    it 'has no NIC that waits for a restart' do
      rows = pvesh("#{NODE}/qemu/#{guest['vmid']}/pending").select { |one| one['key'].match?(/\Anet\d+\z/) }
      expect(rows.select { |one| one.key?('pending') || one.key?('delete') }).to eq []
    end

    # clause network.address: configuration_fixes_no_address
    it 'has no address in its configuration' do
      expect(config.select { |key, value| key.match?(/\Aipconfig\d+\z/) && !value.include?('dhcp') }).to eq({})
    end

    # clause network.bridge: is_on_its_bridge
    it 'is on its bridge' do
      seen = nics(config).values.map { |nic| nic.values_at('bridge', 'tag') }
      expect(seen).to eq [[guest['bridge'], guest['vlan_tag']&.to_s]]
    end

    # clause separation.category: is_tagged_with_that_category_alone
    it('is tagged with its category alone') { expect(config['tags'].split(';') & EXPECTED['categories']).to eq [guest['category']] }

    # clause recovery.autostart: starts_with_the_hypervisor, starts_at_its_place
    it('starts with the hypervisor') { expect(config['onboot'].to_i).to eq 1 }
    it('starts at its place') { expect(config['startup']).to eq guest['startup'] }

    # clause recovery.protected: is_protected
    it('is protected') { expect(config['protection'].to_i).to eq 1 }
  end
end
