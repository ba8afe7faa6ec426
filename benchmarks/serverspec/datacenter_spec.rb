# The hypervisor's API: who may do what, storages, and that it stands alone.
require_relative 'spec_helper'

describe 'The API' do
  let(:users) { pvesh('/access/users --full 1').to_h { |one| [one['userid'], one] } }
  let(:storages) { pvesh("#{NODE}/storage").to_h { |one| [one['storage'], one] } }

  # clause platform.pve-version: api_says_the_declared_version
  it('says the declared version') { expect(pvesh('/version')['version']).to eq EXPECTED['pve_version'] }

  # clause standalone.no-cluster: api_knows_one_node_and_no_cluster
  it 'knows one node and no cluster' do
    expect(pvesh('/cluster/status').map { |one| one.values_at('type', 'name') }).to eq [['node', EXPECTED['node']]]
  end

  # clause standalone.no-ha: has_no_ha_resources, has_no_ha_groups, has_no_fencing
  it('has no HA resources') { expect(pvesh('/cluster/ha/resources')).to eq [] }
  it('has no HA groups') { expect(pvesh('/cluster/ha/groups')).to eq [] }
  it('has no fencing') { expect(pvesh('/cluster/options')).not_to include 'fencing' }

  # clause standalone.no-replication: has_no_replication_jobs
  it('replicates nothing') { expect(pvesh('/cluster/replication')).to eq [] }

  # clause bootstrap.post-config: roles_have_exactly_their_privileges
  EXPECTED['pve_roles'].each do |role, privileges|
    it "has the role #{role} with exactly its privileges" do
      held = pvesh('/access/roles').find { |one| one['roleid'] == role }
      expect(held['privs'].split(',').sort).to eq privileges
    end
  end

  # clause bootstrap.post-config: users_are_as_made, tokens_have_privileges_of_their_own, users_have_no_other_tokens
  EXPECTED['accounts'].each do |account|
    it "has the user #{account['user']} as made" do
      user = users[account['user']]
      expect([user.fetch('enable', 1).to_i, user['expire'].to_i, user['groups'].to_s]).to eq [1, 0, '']
    end

    it "has a token of #{account['user']} with privileges of its own" do
      token = users[account['user']]['tokens'].find { |one| one['tokenid'] == account['token'] }
      expect([token.fetch('privsep', 1).to_i, token['expire'].to_i]).to eq [1, 0]
    end

    it "has no other token of #{account['user']}" do
      expect(users[account['user']]['tokens'].map { |one| one['tokenid'] }).to eq [account['token']]
    end
  end

  # clause bootstrap.post-config: grants_are_exactly_the_declared, pool_holds_the_templates
  it 'has exactly the declared grants' do
    held = pvesh('/access/acl').select { |one| EXPECTED['grantees'].include?(one['ugid']) }
    parts = ->(one) { [*one.values_at('path', 'type', 'ugid', 'roleid'), one['propagate'].to_i] }
    expect(held.map(&parts)).to match_array EXPECTED['grants'].map(&parts)
  end

  it 'has the pool with the templates' do
    expect(pvesh('/pools').map { |one| one['poolid'] }).to include EXPECTED['pool']
    vmids = EXPECTED['templates'].map { |one| one['vmid'] }
    pools = pvesh('/cluster/resources --type vm').select { |one| vmids.include?(one['vmid']) }.map { |one| one['pool'] }
    expect(pools).to eq [EXPECTED['pool']] * vmids.length
  end

  # clause bootstrap.post-config: storages_hold_what_is_declared
  EXPECTED['storages'].each do |name, content|
    it "has the storage #{name} with its content" do
      expect(storages[name]['enabled'].to_i).to eq 1
      expect(storages[name]['content'].split(',').sort).to eq content
    end
  end

  # clause storage.local-only: enabled_storages_are_local
  it 'has local storages alone' do
    enabled = storages.values.select { |one| one['enabled'].to_i == 1 }
    expect(enabled.map { |one| one['type'] } - EXPECTED['local_types']).to eq []
    expect(enabled.map { |one| one['shared'].to_i }).to all(eq 0)
  end

  # clause separation.no-tenants: storages_need_no_tenant_hypervisor
  it 'has no storage on the tenant hypervisor' do
    expect(pvesh('/storage').map { |one| one['server'] } & EXPECTED['tenant_words']).to eq []
  end
end
